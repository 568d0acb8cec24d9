import { quantileOf } from '../quantile.js';
import type { Mode } from './modes.js';
import type { Launch, PointRecord, Scaling, SimulatedPoint } from './scaling-file.js';

/** Median, 5th and 95th percentile. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** What was measured at a point. */
export interface Measured {
  /** That count. */
  readonly numLaunches: number;
  /** Timed, of those launches together. */
  readonly numSteps: number;
  readonly stepMs: Spread;
  readonly tokensPerSecond: Spread;
  /** 1: as much per rank as at the curve's smallest sp that was measured. */
  readonly efficiency: Spread;
  readonly spExposedMs: Spread;
  /** Of the median step time. */
  readonly exposedShare: Spread;
  /** Of a step, all ranks together. */
  readonly spBytesSent: number;
  readonly peakBytesByRank: readonly number[];
  readonly loss: number;
}

/** What the simulation of a point's step says of it. */
export interface Predicted {
  readonly stepMs: number;
  readonly tokensPerSecond: number;
  /** Against the curve's smallest sp that was simulated. */
  readonly efficiency: number;
  readonly exposedShare: number;
}

/** A point of a curve as it is printed, drawn and told. */
export interface ScalingRow extends Omit<PointRecord, 'launches' | 'modelled'> {
  readonly mode: Mode;
  readonly numRanks: number;
  readonly modelled: false;
  readonly prediction: PointRecord['modelled'];
  /** Null: it was not simulated. */
  readonly predicted: Predicted | null;
  /** Null: no launch of it has come through. */
  readonly measured: Measured | null;
}

/** Every point of a curve, by length and sp, with its efficiency against the smallest sp of its length. */
export function scalingRows({ mode, points }: Scaling): ScalingRow[] {
  const sorted = [...points].sort((a, b) => a.length - b.length || a.sp - b.sp);
  const [measuredBase, predictedBase] = [new FirstOf(), new FirstOf()];
  return sorted.map(({ launches, modelled, ...point }) => {
    const numRanks = point.sp * point.dp;
    const tokens = point.sequenceLength * point.batchSize;
    const kept = countingLaunches(launches);
    return {
      ...{ mode, ...point, numRanks, modelled: false, prediction: modelled },
      predicted:
        modelled.step &&
        predictedOf(modelled.step, tokens, (rate) => predictedBase.ratio(point.length, rate / numRanks)),
      measured:
        kept.length === 0
          ? null
          : measuredOf(kept, tokens, (rate) => measuredBase.ratio(point.length, rate / numRanks)),
    };
  });
}

/** By curve, the first value that was asked for: what later ones are held against. */
class FirstOf {
  readonly #values = new Map<number, number>();

  ratio(length: number, value: number): number {
    if (!this.#values.has(length)) this.#values.set(length, value);
    return value / this.#values.get(length)!;
  }
}

function predictedOf(
  { stepMs, spExposedMs }: SimulatedPoint,
  tokens: number,
  efficiencyOf: (tokensPerSecond: number) => number,
): Predicted {
  const tokensPerSecond = (1000 * tokens) / stepMs;
  const efficiency = efficiencyOf(tokensPerSecond);
  return { stepMs, tokensPerSecond, efficiency, exposedShare: spExposedMs / stepMs };
}

/** Of three or more launches all but the one with the lowest and the one with the highest median. */
export function countingLaunches(launches: readonly Launch[]): readonly Launch[] {
  if (launches.length < 3) return launches;
  return [...launches].sort((a, b) => quantileOf(a.laps, 0.5) - quantileOf(b.laps, 0.5)).slice(1, -1);
}

function measuredOf(
  launches: readonly Launch[],
  tokens: number,
  efficiencyOf: (tokensPerSecond: number) => number,
): Measured {
  const laps = launches.flatMap((launch) => launch.laps);
  const stepMs = spreadOf(laps);
  const spExposedMs = spreadOf(launches.flatMap((launch) => launch.spExposedMs));
  const tokensPerSecond = spreadOf(laps.map((lap) => (tokens * 1000) / lap));
  // Of the median first: at the smallest sp it is what all others are held against.
  const median = efficiencyOf(tokensPerSecond.median);
  const efficiency = mapSpread(tokensPerSecond, (rate) => (median * rate) / tokensPerSecond.median);
  const numRanks = launches[0]!.peakBytesByRank.length;
  return {
    numLaunches: launches.length,
    numSteps: laps.length,
    stepMs,
    tokensPerSecond,
    efficiency,
    spExposedMs,
    exposedShare: mapSpread(spExposedMs, (value) => value / stepMs.median),
    spBytesSent: launches[0]!.spBytesSent,
    peakBytesByRank: Array.from({ length: numRanks }, (_, rank) =>
      Math.max(...launches.map(({ peakBytesByRank }) => peakBytesByRank[rank]!)),
    ),
    loss: launches[0]!.loss,
  };
}

function spreadOf(values: readonly number[]): Spread {
  return { median: quantileOf(values, 0.5), low: quantileOf(values, 0.05), high: quantileOf(values, 0.95) };
}

function mapSpread({ median, low, high }: Spread, map: (value: number) => number): Spread {
  return { median: map(median), low: map(low), high: map(high) };
}
