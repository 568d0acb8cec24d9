import type { CollectiveCase, CollectivesResult } from '@longscan/worker/protocol';
import { busFactor } from './bandwidth.js';

/** An operation of one size as it was measured. */
export interface CollectiveRow extends CollectiveCase {
  readonly numRanks: number;
  readonly numSamples: number;
  readonly medianS: number;
  /** 10th and 90th percentile. */
  readonly lowS: number;
  readonly highS: number;
  /** bytes / median, and that times what links carry of each byte. */
  readonly algorithmBytesPerS: number;
  readonly busBytesPerS: number;
  /** For which JavaScript enqueues one operation, median; of a message it is the overhead of the host. */
  readonly hostS: number;
  /** Wrong values found: a measurement with any is none. */
  readonly numErrors: 0;
}

/** One row a case, of what the ranks of a group have taken: the slowest rank's time, where several of them have one. */
export function collectiveRows(results: readonly CollectivesResult[]): CollectiveRow[] {
  const numRanks = results.length;
  return results[0]!.cases.map(({ samplesS: _, hostS: __, ...what }, i) => {
    const timed = results.flatMap(({ cases }) => {
      const { samplesS, hostS } = cases[i]!;
      return samplesS === null ? [] : [{ samplesS, hostS }];
    });
    const samples = timed[0]!.samplesS.map((_, n) => Math.max(...timed.map((one) => one.samplesS[n]!)));
    const at = quantilesOf(samples);
    const algorithmBytesPerS = what.bytes / at(0.5);
    return {
      ...{ ...what, numRanks, numSamples: samples.length },
      ...{ medianS: at(0.5), lowS: at(0.1), highS: at(0.9) },
      ...{ algorithmBytesPerS, busBytesPerS: busFactor(what.op, numRanks) * algorithmBytesPerS },
      hostS: quantilesOf(timed.flatMap(({ hostS }) => hostS))(0.5),
      numErrors: 0,
    };
  });
}

function quantilesOf(values: readonly number[]): (quantile: number) => number {
  const sorted = [...values].sort((a, b) => a - b);
  return (quantile) => sorted[Math.round(quantile * (sorted.length - 1))]!;
}
