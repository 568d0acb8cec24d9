import type { Tensor } from '@longscan/kernels';
import type { FabricCost, LinkCost, Strategy } from '../../strategy.js';
import { demand } from '../check.js';
import type { RankSet } from '../rank-set.js';
import {
  describe,
  foldInOrder,
  type HostSegment,
  hostSegments,
  type ScanCase,
  segmentBytes,
  upload,
} from './scan-case.js';

export const link: LinkCost = { latencyS: 1e-5, gapS: 1e-6, bandwidthBytesPerS: 1e9 };

/** The links of a scan's ranks. */
export function fabricOf({ ranksPerNode }: Pick<ScanCase, 'ranksPerNode'>): FabricCost {
  return { ...link, nodes: { ranksPerNode, between: link } };
}

/** What entered a rank. */
export interface Entered {
  readonly rank: number;
  /** [B, H, R, N]; null where the scan begins. */
  readonly tensor: Tensor | null;
}

/** What goes into a scan, and what must come out of it. */
export interface ScanDefinition {
  readonly segments: readonly HostSegment[];
  readonly entering: readonly (Float64Array | null)[];
}

function defineScan(scan: ScanCase): ScanDefinition {
  const segments = hostSegments(scan);
  return { segments, entering: foldInOrder(scan, segments) };
}

/** Makes each definition once: it is the same for every strategy, element type, number of blocks and node size. */
export class ScanDefinitions {
  readonly #byKey = new Map<string, ScanDefinition>();

  of(scan: ScanCase): ScanDefinition {
    const { numRanks, kind, direction, shape, starts, seed } = scan;
    const key = JSON.stringify([numRanks, kind, direction, shape, starts, seed]);
    const definition = this.#byKey.get(key) ?? defineScan(scan);
    this.#byKey.set(key, definition);
    return definition;
  }
}

/** Enqueues a scan on all ranks of this process. */
export function startScan(
  strategy: Strategy,
  ranks: RankSet,
  scan: ScanCase,
  { segments }: ScanDefinition,
): Entered[] {
  return ranks.communicators.map((communicator) => {
    const { rank, stream } = communicator;
    const tensor = stream.device.scope(() => {
      const local = upload(stream.device, scan, segments[rank]!);
      return strategy.start(local, communicator, scan.direction, scan).wait();
    });
    return { rank, tensor };
  });
}

/** Compares what entered ranks with the sequential fold, bit for bit (NaN equals NaN), and frees it. */
export async function expectFold(
  scan: ScanCase,
  entered: readonly Entered[],
  { entering: expected }: ScanDefinition = defineScan(scan),
): Promise<void> {
  await Promise.all(
    entered.map(async ({ rank, tensor }) => {
      const wanted = expected[rank] ?? null;
      const where = `rank ${rank} of ${describe(scan)}`;
      demand((tensor === null) === (wanted === null), `${where}: null belongs where the scan begins only`);
      if (tensor === null || wanted === null) return;
      const found = await tensor.readNumbers();
      tensor.release();
      const isSame = (a: number, b: number) => a === b || (Number.isNaN(a) && Number.isNaN(b));
      const wrong = wanted.findIndex((value, i) => !isSame(found[i]!, value));
      demand(wrong < 0, `${where}: element ${wrong} is ${found[wrong]}, expected ${wanted[wrong]}`);
    }),
  );
}

/** Bytes that each rank must send for a scan, by the strategy's own cost function; a reverse scan is mirrored. */
export function modelledBytes(strategy: Strategy, scan: ScanCase): readonly number[] {
  const { bytesSentByRank } = strategy.cost(scan.numRanks, segmentBytes(scan), fabricOf(scan));
  return scan.direction === 'forward' ? bytesSentByRank : [...bytesSentByRank].reverse();
}
