import { type Candidate, type Cell, candidatesOf } from './cells.js';
import type { MessageOrders } from './rank.js';
import type { Ranks } from './ranks.js';

/** What a candidate took, seconds of one scan, a sample being the mean of a run of them. */
export interface MeasuredCandidate extends Candidate {
  readonly samples: readonly number[];
}

/** What messages took under the links of a cell, seconds of one. */
export interface MeasuredMessages {
  readonly kind: MessageOrders['kind'];
  /** That sent at the same time. */
  readonly numRanks: number;
  readonly bytes: number;
  readonly samples: readonly number[];
}

/** What it takes to combine segments, seconds, with so many ranks at it at once. */
export interface MeasuredCombine {
  readonly numRanks: number;
  readonly apply: readonly number[];
  readonly compose: readonly number[];
}

/** Messages of a run. */
export const runLength = 200;

/** A sample lasts about this long, or as long as two scans do. */
const sampleS = 0.03;
/** Rounds over all candidates; fewer where a sample takes long, which varies less. */
const numRounds = (seconds: number) => (seconds < 0.2 ? 7 : 4);
/** Candidates this much slower than the fastest are measured once. */
const hopeless = 1.5;

export async function measureCandidates(ranks: Ranks, cell: Cell): Promise<MeasuredCandidate[]> {
  const axis = await ranks.use(cell.numRanks, cell.mbitPerS, cell.delayMs);
  const run = async ({ strategy, options }: Candidate, numScans: number) => {
    const { stateBytes, transition } = cell;
    const orders = { axis, strategy, options, stateBytes, transition, numScans };
    return (await ranks.together(cell.numRanks, 'scan', orders)) / numScans;
  };
  const measured = candidatesOf(cell).map((candidate) => ({
    ...candidate,
    estimate: 0,
    samples: [] as number[],
  }));
  for (const one of measured) {
    // The first run warms connections and memory up, where that is not a large part of all there is to do.
    const first = await run(one, 2);
    one.estimate = first < sampleS ? await run(one, 4) : first;
  }
  const best = Math.min(...measured.map(({ estimate }) => estimate));
  for (let round = 0; round < numRounds(2 * best); round++) {
    for (const one of measured) {
      if (round > 0 && one.estimate > hopeless * best) continue;
      const numScans = Math.min(100, 2 * Math.max(1, Math.round(sampleS / (2 * one.estimate))));
      one.samples.push(await run(one, numScans));
    }
  }
  return measured.map(({ strategy, options, samples }) => ({ strategy, options, samples }));
}

/** Of two ranks alone and of all at once. */
export async function measureMessages(ranks: Ranks, cell: Cell): Promise<MeasuredMessages[]> {
  const { numRanks } = cell;
  const bytesPerS = (cell.mbitPerS ?? 8000) * 125_000;
  const kinds: [MessageOrders['kind'], number, number[]][] = [
    ['there and back', 2, [8, 2048, 8192, 32 << 10, 128 << 10, 512 << 10, 2 << 20]],
    ['one after the other', 2, [8]],
    ['both ways', numRanks, [8, 32 << 10, 2 << 20]],
  ];
  const rows: MeasuredMessages[] = [];
  for (const [kind, size, sizes] of kinds) {
    for (const bytes of sizes) {
      const seconds = bytes / bytesPerS + cell.delayMs / 1000 + 5e-5;
      const isRun = kind === 'one after the other';
      const numMessages = isRun ? runLength : Math.min(200, Math.max(1, Math.round(sampleS / seconds)));
      const axis = await ranks.use(numRanks, cell.mbitPerS, cell.delayMs);
      const samples: number[] = [];
      for (let round = -1; round < (seconds > 0.1 ? 2 : 5); round++) {
        const orders = { axis, kind, bytes, numMessages };
        const total = await ranks.together(size, 'messages', orders);
        if (round >= 0) samples.push(total / numMessages / (kind === 'there and back' ? 2 : 1));
      }
      rows.push({ kind, numRanks: size, bytes, samples });
    }
  }
  return rows;
}

export async function measureCombine(
  ranks: Ranks,
  orders: Pick<Cell, 'stateBytes' | 'transition'>,
  rankCounts: readonly number[],
): Promise<MeasuredCombine[]> {
  const rows: MeasuredCombine[] = [];
  for (const numRanks of rankCounts) {
    const [apply, compose]: [number[], number[]] = [[], []];
    for (let round = -1; round < 7; round++) {
      const times = await ranks.onEach(numRanks, 'combine', () => [orders, 0]);
      if (round < 0) continue;
      apply.push(Math.max(...times.map(([seconds]) => seconds)));
      compose.push(Math.max(...times.map(([, seconds]) => seconds)));
    }
    rows.push({ numRanks, apply, compose });
  }
  return rows;
}
