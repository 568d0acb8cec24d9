import type { DType } from '@longscan/kernels';
import type { Strategy } from '../../strategy.js';
import { type Check, demand } from '../check.js';
import { type RankSet, type RankSetOptions, withRanks } from '../rank-set.js';
import { expectFold, modelledBytes, ScanDefinitions, startScan } from './scan.js';
import type { ScanCase, ScannedKind } from './scan-case.js';

const allKinds: readonly ScannedKind[] = [
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
const allBlockCounts = [1, 3, 8, 1000];

/** Past the size from which engines send in pieces or around a ring. */
const largeShape = [1, 2, 64, 64] as const;

export interface ExactnessOptions {
  /** Default: `in-process`. */
  readonly engine?: RankSetOptions['engine'];
  /** Types of states, in turn; default: f32 and f64. */
  readonly dtypes?: readonly DType[];
  /** Default: all that make a difference. */
  readonly blockCounts?: readonly number[];
  /** Default: all. */
  readonly kinds?: readonly ScannedKind[];
  /** Shared with the checks of other strategies. Default: of its own. */
  readonly definitions?: ScanDefinitions;
}

/** Exactly the sequential fold, and exactly the modelled bytes, for this number of ranks. */
export function exactnessChecks(
  strategy: Strategy,
  numRanks: number,
  options: ExactnessOptions = {},
): Check[] {
  const { definitions = new ScanDefinitions() } = options;
  const where = `${numRanks} ranks${options.engine === 'tcp' ? ' over TCP' : ''}`;
  return (options.kinds ?? allKinds).map((kind) => ({
    name: `equals the sequential fold exactly, and sends the bytes of its cost: ${where}, ${kind}`,
    run: () => checkScans(strategy, numRanks, kind, options, definitions),
  }));
}

/** All cases in one go on the same group, as the layers of a model are. */
function checkScans(
  strategy: Strategy,
  numRanks: number,
  kind: ScannedKind,
  options: ExactnessOptions,
  definitions: ScanDefinitions,
): Promise<void> {
  const body = async (ranks: RankSet) => {
    const cases = scanCases(numRanks, kind, options);
    const modelled = new Array<number>(numRanks).fill(0);
    const entered = cases.map((scan) => {
      for (const [rank, bytes] of modelledBytes(strategy, scan).entries()) modelled[rank]! += bytes;
      return startScan(strategy, ranks, scan, definitions.of(scan));
    });
    await Promise.all(cases.map((scan, i) => expectFold(scan, entered[i]!, definitions.of(scan))));
    await ranks.sync();
    for (const { rank, bytes } of ranks.sent()) {
      const expected = modelled[rank];
      demand(
        bytes === expected,
        `rank ${rank} of ${numRanks} sent ${bytes} bytes, its cost says ${expected}`,
      );
    }
    for (const { rank, stream } of ranks.communicators) {
      const { inUseBytes } = stream.device.memory();
      demand(inUseBytes === 0, `rank ${rank} of ${numRanks} still holds ${inUseBytes} bytes after its scans`);
    }
  };
  return withRanks(numRanks, body, { engine: options.engine ?? 'in-process' });
}

function scanCases(
  numRanks: number,
  kind: ScannedKind,
  { dtypes = ['f32', 'f64'], blockCounts = allBlockCounts }: ExactnessOptions,
): ScanCase[] {
  const everyRank = Array.from({ length: numRanks }, (_, rank) => rank);
  const singles = everyRank.map((rank) => [rank]);
  const nodeSizes = everyRank.map((rank) => rank + 1).filter((size) => numRanks % size === 0);
  const dtypeAt = (i: number) => dtypes[i % dtypes.length]!;
  const large = {
    ...{ numRanks, kind, dtype: dtypeAt(1), blocks: 8, shape: largeShape, starts: [1], seed: 1 },
  };
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
          const dtype = dtypeAt(seed + i);
          cases.push({ numRanks, ranksPerNode, kind, direction, dtype, blocks, shape, starts, seed });
        }
      }
    }
  }
  return cases;
}
