import type { LinkCost } from '@longscan/worker';
import type { JobSpec } from '@longscan/worker/protocol';

/** Who carries a job's messages: the built-in engine, or NCCL. */
export type Engine = 'tcp' | 'nccl';

/** Any engine but NCCL sends what the built-in one does. */
export function engineOf({ device }: Pick<JobSpec, 'device'>): Engine {
  return device.engine === 'nccl' ? 'nccl' : 'tcp';
}

/** What is handed on around a ring at a time: `pieceBytes` of the addon's transport collectives, taken for NCCL too. */
export const pieceBytes = 256 << 10;

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
 * A link as the pieces of one collective meet it: for the built-in engine each is a message like any other, for NCCL all of them are
 * one kernel, in which nothing keeps the next from following at once.
 */
export function linkWithin(link: LinkCost, engine: Engine): LinkCost {
  return engine === 'tcp' ? link : { ...link, gapS: 0 };
}
