/** The numbers of peer/chain.h: lanes at most, blocks under way on a lane, floats of a block at most. */
export const peerLanes = 32;
export const peerSlots = 4;
export const peerSlotFloats = 8192;

/** What decides how a state [B, H, R, N] is cut for a chain through mapped memory. */
export interface CutState {
  /** B H R. */
  readonly numRows: number;
  /** N; at most `peerSlotFloats`, since a block has whole rows. */
  readonly rowLength: number;
  /** Whether M is dense, which takes longer to apply. */
  readonly isDense: boolean;
}

/** How a chain through mapped memory cuts a state. */
export interface ChainCut {
  /** Blocks of threads, each with a chain of its own. */
  readonly lanes: number;
  /** Of a block, but for the last one of a lane. */
  readonly rowsPerBlock: number;
  /** Blocks that the longest lane hands on one after the other. */
  readonly blocksPerLane: number;
}

/** `ChainCut` of peer/chain_cut.h, for those who count what a chain takes without running one. */
export function chainCut({ numRows, rowLength, isDense }: CutState): ChainCut {
  const floats = numRows * rowLength;
  const takesLong = isDense || floats > 64 * peerSlotFloats;
  const most = takesLong ? peerLanes : peerLanes / 2;
  const lanes = Math.min(Math.ceil(floats / (peerSlotFloats / 2)), most, numRows);
  const rowsPerBlock = Math.floor(peerSlotFloats / rowLength);
  return { lanes, rowsPerBlock, blocksPerLane: Math.ceil(Math.ceil(numRows / lanes) / rowsPerBlock) };
}

/** Whether a state may go through mapped memory at all: else as messages, on every rank. */
export function fitsChain({ rowLength }: Pick<CutState, 'rowLength'>): boolean {
  return rowLength <= peerSlotFloats;
}
