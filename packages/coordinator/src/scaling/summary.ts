import { quantileOf } from '../quantile.js';
import type { Mode } from './modes.js';
import type { Launch, PointRecord, Scaling } from './scaling-file.js';

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
  /** 1: as much per rank as at the curve's smallest sp; null: nothing was measured there. */
  readonly efficiency: Spread | null;
  readonly spExposedMs: Spread;
  /** Of the median step time. */
  readonly exposedShare: Spread;
  /** Of a step, all ranks together. */
  readonly spBytesSent: number;
  readonly peakBytesByRank: readonly number[];
  readonly loss: number;
}

/** A point of a curve as it is printed, drawn and told. */
export interface ScalingRow extends Omit<PointRecord, 'launches' | 'modelled'> {
  readonly mode: Mode;
  readonly numRanks: number;
  readonly modelled: false;
  readonly prediction: PointRecord['modelled'];
  /** Null: no launch of it has come through. */
  readonly measured: Measured | null;
}

/** Every point of a curve, by length and sp, with its efficiency against the smallest sp of its length. */
export function scalingRows({ mode, points }: Scaling): ScalingRow[] {
  const sorted = [...points].sort((a, b) => a.length - b.length || a.sp - b.sp);
  const bases = new Map<number, { readonly perRank: number }>();
  return sorted.map(({ launches, modelled, ...point }) => {
    const numRanks = point.sp * point.dp;
    const kept = countingLaunches(launches);
    const result = kept.length === 0 ? null : measuredOf(kept, point.sequenceLength * point.batchSize);
    if (result !== null && !bases.has(point.length))
      bases.set(point.length, { perRank: result.tokensPerSecond.median / numRanks });
    const base = bases.get(point.length);
    const efficiency =
      result && base ? mapSpread(result.tokensPerSecond, (value) => value / numRanks / base.perRank) : null;
    return {
      ...{ mode, ...point, numRanks, modelled: false, prediction: modelled },
      measured: result && { ...result, efficiency },
    };
  });
}

/** Of three or more launches all but the one with the lowest and the one with the highest median. */
export function countingLaunches(launches: readonly Launch[]): readonly Launch[] {
  if (launches.length < 3) return launches;
  return [...launches].sort((a, b) => quantileOf(a.laps, 0.5) - quantileOf(b.laps, 0.5)).slice(1, -1);
}

function measuredOf(launches: readonly Launch[], tokens: number): Omit<Measured, 'efficiency'> {
  const laps = launches.flatMap((launch) => launch.laps);
  const stepMs = spreadOf(laps);
  const spExposedMs = spreadOf(launches.flatMap((launch) => launch.spExposedMs));
  const numRanks = launches[0]!.peakBytesByRank.length;
  return {
    numLaunches: launches.length,
    numSteps: laps.length,
    stepMs,
    tokensPerSecond: spreadOf(laps.map((lap) => (tokens * 1000) / lap)),
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
