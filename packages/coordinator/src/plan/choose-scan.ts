import { supportsTransition } from '@longscan/worker';
import type { Fabric } from '../fabric/fabric.js';
import type { LayerScans } from './layer-scans.js';
import type { ScanCandidate } from './scan-candidates.js';
import { type ScanTime, scanBytes, type TimeScans, timeByFormula } from './scan-time.js';

/** A candidate with what it costs a layer in a step. */
export interface ModelledScan extends ScanCandidate, ScanTime {
  readonly bytesSentByRank: readonly number[];
  /** Only the strategy's formula was asked, which leaves out what is neither latency nor bytes: others were better by it. */
  readonly isBound: boolean;
}

export interface ChooseOptions {
  readonly sp: number;
  readonly fabric: Fabric;
  readonly timeScans: TimeScans;
}

/** Up to so many ranks every candidate is simulated. */
const smallGroup = 16;
/** On more, the best few of each strategy by its formula, unless that alone says that they are this much worse than another. */
const fewOfEach = 2;
const hopeless = 3;

/** Exposed times that differ by less are as good as equal: the model is no better. */
const equalPart = 0.01;
const equalS = 1e-6;

/**
 * The candidates that can run a layer's scans, the best first: the one that makes the step longest is the worst. Where they
 * are equal, fewer bytes are better, then less time, then the name.
 */
export function rankScans(
  scans: LayerScans,
  candidates: readonly ScanCandidate[],
  { sp, fabric, timeScans }: ChooseOptions,
): ModelledScan[] {
  const formula = timeByFormula(sp, fabric);
  const bounds = candidates
    .filter(({ strategy }) => scans.recurrences.every(({ kind }) => supportsTransition(strategy, kind)))
    .map((candidate) => ({ candidate, bound: formula(candidate, scans) }))
    .sort((a, b) => a.bound.seconds - b.bound.seconds);
  const least = bounds[0]?.bound.seconds ?? 0;
  const numTried = new Map<string, number>();
  const modelled = bounds.map(({ candidate, bound }): ModelledScan => {
    const { name } = candidate.strategy;
    const before = numTried.get(name) ?? 0;
    numTried.set(name, before + 1);
    const isBound = sp > smallGroup && (before >= fewOfEach || bound.seconds > hopeless * least);
    const time = isBound ? bound : timeScans(candidate, scans);
    return { ...candidate, ...time, bytesSentByRank: scanBytes(sp, fabric, candidate, scans), isBound };
  });
  return sorted(modelled);
}

function sorted(modelled: readonly ModelledScan[]): ModelledScan[] {
  const least = Math.min(...modelled.map((one) => (one.isBound ? Number.POSITIVE_INFINITY : one.exposedS)));
  // All that are as good as the best are one class; the others follow by what they expose.
  const exposure = ({ exposedS }: ModelledScan) =>
    exposedS <= least + Math.max(equalS, equalPart * least) ? least : exposedS;
  const bytes = ({ bytesSentByRank }: ModelledScan) => bytesSentByRank.reduce((sum, sent) => sum + sent, 0);
  const byName = (a: ModelledScan, b: ModelledScan) => (a.strategy.name < b.strategy.name ? -1 : 1);
  return [...modelled].sort(
    (a, b) =>
      Number(a.isBound) - Number(b.isBound) ||
      exposure(a) - exposure(b) ||
      bytes(a) - bytes(b) ||
      a.seconds - b.seconds ||
      a.options.blocks - b.options.blocks ||
      byName(a, b),
  );
}
