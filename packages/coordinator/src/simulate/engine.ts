import type { FabricCost } from '@longscan/worker';
import type { JobSpec } from '@longscan/worker/protocol';

/** Who carries a job's messages: the built-in engine, or NCCL. */
export type Engine = 'tcp' | 'nccl';

/** Any engine but NCCL sends what the built-in one does. */
export function engineOf({ device }: Pick<JobSpec, 'device'>): Engine {
  return device.engine === 'nccl' ? 'nccl' : 'tcp';
}

/** What is handed on around a ring at a time: `pieceBytes` of the addon's transport collectives, taken for NCCL too. */
const pieceBytes = 256 << 10;

/**
 * Bytes of each piece in which a block of a collective is handed on; the last has what is left. The built-in engine sends pieces of
 * one size, NCCL cuts what one kernel moves into as few equal ones.
 */
export function pieceOf(block: number, engine: Engine): number {
  return engine === 'tcp' ? pieceBytes : Math.ceil(block / piecesIn(block));
}

export function piecesOf(block: number, engine: Engine): number[] {
  const piece = pieceOf(block, engine);
  const whole = block === 0 ? 0 : Math.floor(block / piece);
  const rest = block - whole * piece;
  return [...Array.from({ length: whole }, () => piece), ...(rest > 0 ? [rest] : [])];
}

/** As many for every engine. */
export function piecesIn(block: number): number {
  return Math.max(1, Math.ceil(block / pieceBytes));
}

/**
 * Links as a collective meets them. For the built-in engine each of its pieces is a message like any other. For NCCL all of them are
 * one kernel, in which nothing keeps the next from following at once; and it lays a ring through every adapter of a node (one a
 * rank), so that what leaves the node has the bandwidth of all of them, up to that inside: github.com/NVIDIA/nccl/issues/412.
 */
export function collectiveLinks(links: FabricCost, engine: Engine): FabricCost {
  if (engine === 'tcp') return links;
  const { nodes, bandwidthBytesPerS: inside } = links;
  if (nodes === undefined) return { ...links, gapS: 0 };
  const { ranksPerNode, between } = nodes;
  const one = between.bandwidthBytesPerS;
  const bandwidthBytesPerS = Math.max(one, Math.min(inside, ranksPerNode * one));
  return { ...links, gapS: 0, nodes: { ranksPerNode, between: { ...between, gapS: 0, bandwidthBytesPerS } } };
}
