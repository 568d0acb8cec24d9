import {
  blockSeconds,
  type ChainLinkCost,
  type MappedChain,
  mappedChain,
  mappedChainSeconds,
} from '@longscan/worker';
import { nonNegativeFit } from '../compute/non-negative-fit.js';
import { fitErrorsOf } from '../fit-errors.js';
import type { LinkFit } from './fabric-file.js';

/** Time of one chain through mapped memory: alone, or one of a run of chains that follow each other. */
export interface TimedChain {
  /** Of the state. */
  readonly bytes: number;
  /** Between which it is cut. */
  readonly rows: number;
  readonly isDense: boolean;
  readonly numRanks: number;
  /** 1: alone. */
  readonly runLength: number;
  readonly seconds: number;
}

export interface FittedChains extends LinkFit {
  readonly link: ChainLinkCost;
}

/**
 * What a chain takes under a link, as the planner counts it; of a run of n its n-th part, when n - 1 more follow the first one on
 * every rank: a launch apart, since the host launches while kernels run, or what a rank between two others does with all of a state,
 * whichever is longer.
 */
export function chainRunSeconds(timed: Omit<TimedChain, 'seconds'>, link: ChainLinkCost): number {
  return runSeconds(timed, link, Math.max);
}

/** `apart`: of two that follow each other, by the launch and by what a rank does with a state. */
function runSeconds(
  timed: Omit<TimedChain, 'seconds'>,
  link: ChainLinkCost,
  apart: (launchS: number, heldS: number) => number,
): number {
  const { numRanks, runLength } = timed;
  const chain = chainOf(timed);
  const { handOnS, applyS } = blockSeconds(timed.bytes, chain, link);
  const heldS = handOnS + (numRanks > 2 ? applyS : 0);
  const first = mappedChainSeconds(numRanks, chain, link);
  return (first + (runLength - 1) * apart(link.launchS, heldS)) / runLength;
}

function chainOf({ bytes, rows, isDense }: Omit<TimedChain, 'seconds'>): MappedChain {
  const chain = mappedChain({ state: bytes, rows, kind: isDense ? 'dense' : 'identity' });
  if (chain === null) throw new TypeError('a chain was measured that nothing can be');
  return chain;
}

/** Each with nothing else: what a chain takes is their sum, so that it is linear in all of them. */
const free: ChainLinkCost = { launchS: 0, latencyS: 0, bandwidthBytesPerS: Number.POSITIVE_INFINITY };

const alone: readonly ChainLinkCost[] = [
  { ...free, launchS: 1 },
  { ...free, latencyS: 1 },
  { ...free, bandwidthBytesPerS: 1 },
  { ...free, denseFlopsPerS: 1 },
];

/**
 * The link that explains chains best, by least squares on relative errors with no parameter below zero; what dense M cost only where a
 * rank between two others had one. In which runs the launch counts and in which the bytes there are as many possibilities as runs: each
 * is a linear problem, and the best of all is taken. Null where the times tell no bandwidth, or nothing but that.
 */
export function fitChains(timed: readonly TimedChain[]): FittedChains | null {
  const runs = timed.filter(({ runLength }) => runLength > 1).sort((a, b) => a.bytes - b.bytes);
  let best: FittedChains | null = null;
  // Of the smallest run at least it is the launch that counts.
  for (let numByLaunch = Math.min(1, runs.length); numByLaunch <= runs.length; numByLaunch++) {
    const byLaunch = new Set(runs.slice(0, numByLaunch));
    const fitted = fitLinear(timed, (one) => byLaunch.has(one));
    if (best === null || squaresOf(fitted) < squaresOf(best)) best = fitted;
  }
  if (best === null) return null;
  const { launchS, latencyS, bandwidthBytesPerS } = best.link;
  return Number.isFinite(bandwidthBytesPerS) && launchS + latencyS > 0 ? best : null;
}

function fitLinear(timed: readonly TimedChain[], isByLaunch: (run: TimedChain) => boolean): FittedChains {
  const rows = timed.map((one) => {
    const apart = isByLaunch(one) ? (launchS: number) => launchS : (_: number, heldS: number) => heldS;
    return alone.map((link) => runSeconds(one, link, apart) / one.seconds);
  });
  const [launchS = 0, latencyS = 0, secondsPerByte = 0, secondsPerFlop = 0] = nonNegativeFit(
    rows,
    rows.map(() => 1),
  );
  const link: ChainLinkCost = {
    ...{ launchS, latencyS, bandwidthBytesPerS: 1 / secondsPerByte },
    ...(secondsPerFlop > 0 && { denseFlopsPerS: 1 / secondsPerFlop }),
  };
  return withResiduals(link, timed);
}

function withResiduals(link: ChainLinkCost, timed: readonly TimedChain[]): FittedChains {
  const residuals = timed.map((one) => {
    const fittedS = chainRunSeconds(one, link);
    const kind = one.runLength > 1 ? ('chain-run' as const) : ('chain' as const);
    const relativeError = fittedS / one.seconds - 1;
    return { kind, bytes: one.bytes, measuredS: one.seconds, fittedS, relativeError };
  });
  return { link, residuals, ...fitErrorsOf(residuals) };
}

function squaresOf({ residuals }: FittedChains): number {
  return residuals.reduce((sum, { relativeError }) => sum + relativeError ** 2, 0);
}
