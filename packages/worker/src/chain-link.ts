import { chainCut, fitsChain } from '@longscan/kernels';
import { bytesPerF32 } from './protocol/bytes.js';
import type { ChainLinkCost, FabricCost, SegmentBytes } from './strategy.js';

/** A chain through mapped memory as one of its ranks sees it. */
export interface MappedChain {
  /** Blocks that follow each other, bytes of all lanes together, which move side by side: as many each, less in the last one. */
  readonly blocks: readonly number[];
  /** What M costs for each byte of a block; 0 unless M is dense: else it is part of a hop. */
  readonly flopsPerByte: number;
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
  const { lanes, rowsPerBlock, blocksPerLane } = chainCut({ numRows: rows, rowLength, isDense });
  const bytesOf = (numRows: number) => bytesPerF32 * rowLength * numRows;
  const most = lanes * rowsPerBlock;
  const blocks = Array.from({ length: blocksPerLane }, (_, i) => bytesOf(Math.min(most, rows - i * most)));
  return { blocks, flopsPerByte: isDense ? (2 * rowLength) / bytesPerF32 : 0 };
}

/** What a rank that neither begins nor ends a chain spends on so many bytes: handing them on, and before that M times them. */
export function blockSeconds(
  bytes: number,
  { flopsPerByte }: Pick<MappedChain, 'flopsPerByte'>,
  { bandwidthBytesPerS, denseFlopsPerS = Number.POSITIVE_INFINITY }: ChainLinkCost,
): { readonly handOnS: number; readonly applyS: number } {
  return { handOnS: bytes / bandwidthBytesPerS, applyS: (bytes * flopsPerByte) / denseFlopsPerS };
}

/**
 * Time of a chain of P ranks: all launch at once; the first block of every lane crosses P - 1 links and P - 2 ranks that apply
 * their M to it; the others follow it by what a rank between two others needs for them. More than one block a lane means blocks of
 * 32 KiB on 16 or 32 lanes, so that their bytes and not their number count.
 */
export function mappedChainSeconds(worldSize: number, chain: MappedChain, link: ChainLinkCost): number {
  if (worldSize === 1) return 0;
  const [first, ...others] = chain.blocks.map((bytes) => blockSeconds(bytes, chain, link));
  const crossing = (worldSize - 1) * (link.latencyS + first!.handOnS) + (worldSize - 2) * first!.applyS;
  const following = others.reduce(
    (sum, { handOnS, applyS }) => sum + handOnS + (worldSize > 2 ? applyS : 0),
    0,
  );
  return link.launchS + crossing + following;
}

/** The chain and its link, where links and state are such that it goes through mapped memory. */
export function mappedOn(
  bytes: ScannedBytes,
  { chains }: FabricCost,
): { readonly chain: MappedChain; readonly link: ChainLinkCost } | null {
  const chain = chains === undefined ? null : mappedChain(bytes);
  return chain && { chain, link: chains! };
}
