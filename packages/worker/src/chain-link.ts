import { type ChainCut, chainCut, fitsChain } from '@longscan/kernels';
import type { ChainLinkCost, FabricCost, SegmentBytes } from './strategy.js';

const bytesPerF32 = 4;

/** A chain through mapped memory as one of its ranks sees it. */
export interface MappedChain extends ChainCut {
  /** Of a block of each lane, which move together. */
  readonly stepBytes: number;
  /** Of M times such blocks; 0 unless M is dense: else what it costs is part of a hop. */
  readonly stepFlops: number;
}

type ScannedBytes = Pick<SegmentBytes, 'state' | 'rows' | 'units' | 'kind'>;

/**
 * How a state goes along a chain through mapped memory; null where it goes as messages all the same, link or not: unit by unit, or in
 * rows too long for a block.
 */
export function mappedChain({ state, rows, units = 1, kind }: ScannedBytes): MappedChain | null {
  const rowLength = state / bytesPerF32 / rows;
  const isDense = kind === 'dense';
  if (units > 1 || !fitsChain({ rowLength })) return null;
  const cut = chainCut({ numRows: rows, rowLength, isDense });
  const stepBytes = state / cut.blocksPerLane;
  return { ...cut, stepBytes, stepFlops: isDense ? 2 * (stepBytes / bytesPerF32) * rowLength : 0 };
}

/** How a rank that neither begins nor ends a chain spends a block: handing it on, and before that M times it. */
export function stepSeconds(
  { stepBytes, stepFlops }: Pick<MappedChain, 'stepBytes' | 'stepFlops'>,
  { bandwidthBytesPerS, denseFlopsPerS = Number.POSITIVE_INFINITY }: ChainLinkCost,
): { readonly handOnS: number; readonly applyS: number } {
  return { handOnS: stepBytes / bandwidthBytesPerS, applyS: stepFlops / denseFlopsPerS };
}

/**
 * Time of a chain of P ranks: all launch at once; the first block of every lane crosses P - 1 links and P - 2 ranks that apply
 * their M to it; the others follow it by what a rank between two others needs for one. More than one block a lane means blocks of
 * 32 KiB on 16 or 32 lanes, so that their bytes and not their number count.
 */
export function mappedChainSeconds(worldSize: number, chain: MappedChain, link: ChainLinkCost): number {
  if (worldSize === 1) return 0;
  const { handOnS, applyS } = stepSeconds(chain, link);
  const between = worldSize > 2 ? applyS : 0;
  const first = link.launchS + (worldSize - 1) * (link.latencyS + handOnS) + (worldSize - 2) * between;
  return first + (chain.blocksPerLane - 1) * (handOnS + between);
}

/** The chain and its link, where links and state are such that it goes through mapped memory. */
export function mappedOn(
  bytes: ScannedBytes,
  { chains }: FabricCost,
): { readonly chain: MappedChain; readonly link: ChainLinkCost } | null {
  const chain = chains === undefined ? null : mappedChain(bytes);
  return chain && { chain, link: chains! };
}
