import {
  blockSeconds,
  type ChainLinkCost,
  type MappedChain,
  mappedChain,
  mappedChainSeconds,
} from '@longscan/worker';
import { nonNegativeFit } from '../compute/non-negative-fit.js';
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
 * every rank by a launch and what a rank between two others does with all blocks.
 */
export function chainRunSeconds(timed: Omit<TimedChain, 'seconds'>, link: ChainLinkCost): number {
  const { numRanks, runLength } = timed;
  const chain = chainOf(timed);
  const { handOnS, applyS } = blockSeconds(timed.bytes, chain, link);
  const held = handOnS + (numRanks > 2 ? applyS : 0);
  const first = mappedChainSeconds(numRanks, chain, link);
  return (first + (runLength - 1) * (link.launchS + held)) / runLength;
}

function chainOf({ bytes, rows, isDense }: Omit<TimedChain, 'seconds'>): MappedChain {
  const chain = mappedChain({ state: bytes, rows, kind: isDense ? 'dense' : 'identity' });
  if (chain === null) throw new TypeError('a chain was measured that nothing can be');
  return chain;
}

/** Each with nothing else: what a chain takes is their sum, so that it is linear in all of them. */
const free: ChainLinkCost = { launchS: 0, latencyS: 0, bandwidthBytesPerS: Number.POSITIVE_INFINITY };

/**
 * The link that explains chains best, by least squares on relative errors with no parameter below zero; what dense M cost only where a
 * rank between two others had one. Null where the times tell no bandwidth, or nothing but that.
 */
export function fitChains(timed: readonly TimedChain[]): FittedChains | null {
  const alone: readonly ChainLinkCost[] = [
    { ...free, launchS: 1 },
    { ...free, latencyS: 1 },
    { ...free, bandwidthBytesPerS: 1 },
    { ...free, denseFlopsPerS: 1 },
  ];
  const rows = timed.map((one) => alone.map((link) => chainRunSeconds(one, link) / one.seconds));
  const [launchS = 0, latencyS = 0, secondsPerByte = 0, secondsPerFlop = 0] = nonNegativeFit(
    rows,
    rows.map(() => 1),
  );
  if (!(secondsPerByte > 0 && launchS + latencyS > 0)) return null;
  const link: ChainLinkCost = {
    ...{ launchS, latencyS, bandwidthBytesPerS: 1 / secondsPerByte },
    ...(secondsPerFlop > 0 && { denseFlopsPerS: 1 / secondsPerFlop }),
  };
  const residuals = timed.map((one) => {
    const fittedS = chainRunSeconds(one, link);
    const kind = one.runLength > 1 ? ('chain-run' as const) : ('chain' as const);
    return {
      kind,
      bytes: one.bytes,
      measuredS: one.seconds,
      fittedS,
      relativeError: fittedS / one.seconds - 1,
    };
  });
  const errors = residuals.map(({ relativeError }) => Math.abs(relativeError));
  return {
    ...{ link, residuals, worstRelativeError: Math.max(...errors) },
    meanRelativeError: errors.reduce((sum, error) => sum + error, 0) / errors.length,
  };
}
