import type { Strategy } from '../../strategy.js';
import { type Check, demand } from '../check.js';
import { type Engine, type RankSet, withRanks } from '../rank-set.js';
import { expectFold, modelledBytes, startScan } from './scan.js';
import type { ScanCase, ScannedKind } from './scan-case.js';

const kinds: readonly ScannedKind[] = [
  'identity',
  'fixed-scalar',
  'scalar',
  'diagonal',
  'exp-diagonal',
  'fixed-complex',
  'dense',
  'log-max',
];
const shapes = [
  [1, 1, 1, 2],
  [2, 1, 3, 2],
  [1, 2, 5, 4],
] as const;
/** One, as many as most shapes do not divide by, many, more than any shape has rows. */
const blockCounts = [1, 3, 8, 1000];

/** Past the size from which engines send in pieces or around a ring. */
const largeShape = [1, 2, 64, 64] as const;

/** Exactly the sequential fold, and exactly the modelled bytes, for this number of ranks. */
export function exactnessChecks(
  strategy: Strategy,
  numRanks: number,
  engine: Engine = 'in-process',
): Check[] {
  const where = `${numRanks} ranks${engine === 'tcp' ? ' over TCP' : ''}`;
  return kinds.map((kind) => ({
    name: `equals the sequential fold exactly, and sends the bytes of its cost: ${where}, ${kind}`,
    run: () => checkScans(strategy, numRanks, kind, engine),
  }));
}

/** All cases in one go on the same group, as the layers of a model are. */
function checkScans(strategy: Strategy, numRanks: number, kind: ScannedKind, engine: Engine): Promise<void> {
  const body = async (ranks: RankSet) => {
    const cases = scanCases(numRanks, kind);
    const modelled = new Array<number>(numRanks).fill(0);
    const entered = cases.map((scan) => {
      for (const [rank, bytes] of modelledBytes(strategy, scan).entries()) modelled[rank]! += bytes;
      return startScan(strategy, ranks, scan);
    });
    await Promise.all(cases.map((scan, i) => expectFold(scan, entered[i]!)));
    await ranks.sync();
    for (const [rank, communicator] of ranks.communicators.entries()) {
      const [sent, expected] = [communicator.bytesSent(), modelled[rank]];
      demand(sent === expected, `rank ${rank} of ${numRanks} sent ${sent} bytes, its cost says ${expected}`);
      const { inUseBytes } = ranks.devices[rank]!.memory();
      demand(inUseBytes === 0, `rank ${rank} of ${numRanks} still holds ${inUseBytes} bytes after its scans`);
    }
  };
  return withRanks(numRanks, body, { engine });
}

function scanCases(numRanks: number, kind: ScannedKind): ScanCase[] {
  const everyRank = Array.from({ length: numRanks }, (_, rank) => rank);
  const singles = everyRank.map((rank) => [rank]);
  const nodeSizes = everyRank.map((rank) => rank + 1).filter((size) => numRanks % size === 0);
  const large = { numRanks, kind, dtype: 'f64', blocks: 8, shape: largeShape, starts: [1], seed: 1 } as const;
  const cases: ScanCase[] = nodeSizes.flatMap((ranksPerNode) => [
    { ...large, ranksPerNode, direction: 'forward' },
    { ...large, ranksPerNode, direction: 'reverse' },
  ]);
  for (const starts of [null, [], ...singles, everyRank.filter((rank) => rank % 3 === 1), everyRank]) {
    for (const direction of ['forward', 'reverse'] as const) {
      for (const [i, shape] of shapes.entries()) {
        for (const [j, blocks] of blockCounts.entries()) {
          const ranksPerNode = nodeSizes[j % nodeSizes.length]!;
          const seed = cases.length;
          const dtype = (seed + i) % 2 === 0 ? 'f32' : 'f64';
          cases.push({ numRanks, ranksPerNode, kind, direction, dtype, blocks, shape, starts, seed });
        }
      }
    }
  }
  return cases;
}
