import type { Tensor } from '@longscan/kernels';
import type { FabricCost, LinkCost, Strategy } from '../../strategy.js';
import { demand } from '../check.js';
import type { RankSet } from '../rank-set.js';
import { describe, foldInOrder, hostSegments, type ScanCase, segmentBytes, upload } from './scan-case.js';

export const link: LinkCost = { latencyS: 1e-5, gapS: 1e-6, bandwidthBytesPerS: 1e9 };

/** The links of a scan's ranks. */
export function fabricOf({ ranksPerNode }: Pick<ScanCase, 'ranksPerNode'>): FabricCost {
  return { ...link, nodes: { ranksPerNode, between: link } };
}

/** Enqueues a scan on all ranks; gives the tensors that enter them. */
export function startScan(strategy: Strategy, ranks: RankSet, scan: ScanCase): (Tensor | null)[] {
  const segments = hostSegments(scan);
  return ranks.communicators.map((communicator, rank) => {
    const device = ranks.devices[rank]!;
    return device.scope(() => {
      const local = upload(device, scan, segments[rank]!);
      return strategy.start(local, communicator, scan.direction, scan).wait();
    });
  });
}

/** Compares what entered each rank with the sequential fold, bit for bit (NaN equals NaN), and frees it. */
export async function expectFold(scan: ScanCase, entered: readonly (Tensor | null)[]): Promise<void> {
  const expected = foldInOrder(scan, hostSegments(scan));
  await Promise.all(
    entered.map(async (tensor, rank) => {
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
