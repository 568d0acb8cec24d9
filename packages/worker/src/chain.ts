import {
  type Communicator,
  empty,
  fitsChain,
  type Message,
  type RowRange,
  type Tensor,
} from '@longscan/kernels';
import { mappedChainSeconds, mappedOn } from './chain-link.js';
import { chainLinks, slowestLink } from './fabric.js';
import { applySegment, cutRows, numRows, rowsOf, type Segment, stateFromNothing } from './state/segment.js';
import {
  type Direction,
  type FabricCost,
  type PendingState,
  type ScanCost,
  type SegmentBytes,
  type SerialTurn,
  scanPlace,
} from './strategy.js';

/**
 * A chain over ranks: each receives the state, applies its own segment and hands it on. Only the state travels, never M.
 * Where the group has a chain of its own, that is one launch which cuts the state as suits it; else it goes in
 * `numBlocks` blocks of the free axis.
 */
export function startChain(
  local: Segment,
  group: Communicator,
  direction: Direction,
  numBlocks: number,
): PendingState {
  const { prev } = scanPlace(group, direction);
  const { device, shape, dtype } = local.state;
  const { stream } = group;
  stream.wait(device.compute.record());
  const incoming = prev === null ? null : empty(device, shape, dtype, stream);
  const fits = local.units === undefined && fitsChain({ rowLength: local.state.dim(-1) });
  if (group.chain !== undefined && fits) {
    group.chain(local, incoming, direction === 'forward' ? 1 : -1);
  } else {
    passBlocks(local, incoming, group, direction, numBlocks);
  }
  const done = stream.record();
  return {
    wait() {
      device.compute.wait(done);
      return incoming;
    },
  };
}

/**
 * A block leaves in the same exchange in which the next one arrives, so that links carry both at once and a block costs a
 * rank one exchange and one combine.
 */
function passBlocks(
  local: Segment,
  incoming: Tensor | null,
  group: Communicator,
  direction: Direction,
  numBlocks: number,
): void {
  const { prev, next } = scanPlace(group, direction);
  const { device, shape, dtype } = local.state;
  const { stream } = group;
  const handedOn = () =>
    incoming === null ? stateFromNothing(local, stream) : empty(device, shape, dtype, stream);
  const outgoing = next === null ? null : handedOn();
  const blocks = cutRows(numRows(local.state), numBlocks);
  const message = (state: Tensor | null, peer: number | null, rows: RowRange | undefined): Message[] =>
    state === null || rows === undefined ? [] : [{ tensor: rowsOf(state, rows), peer: peer! }];
  for (let i = 0; i <= blocks.length; i++) {
    const [leaving, arriving] = [message(outgoing, next, blocks[i - 1]), message(incoming, prev, blocks[i])];
    if (leaving.length + arriving.length > 0) group.exchange(leaving, arriving);
    if (arriving.length > 0 && outgoing !== null) {
      applySegment(local, incoming!, outgoing, blocks[i]!, stream);
    }
  }
}

/** A rank's turn in a chain that hands a state from slice to slice, for what no segment describes. */
export function startSerial(group: Communicator, direction: Direction): SerialTurn {
  const { prev, next } = scanPlace(group, direction);
  const { stream } = group;
  return {
    receive(device, shape, dtype) {
      if (prev === null) return null;
      const state = empty(device, shape, dtype, stream);
      group.recv(state, prev);
      device.compute.wait(stream.record());
      return state;
    },
    handOn(state) {
      if (next === null) return;
      stream.wait(state.device.compute.record());
      group.send(state, next);
    },
  };
}

/** Time of a chain of P ranks: through mapped memory, whatever `numBlocks` says, or in so many messages. */
export function chainSeconds(
  worldSize: number,
  bytes: SegmentBytes,
  numBlocks: number,
  fabric: FabricCost,
): number {
  const mapped = mappedOn(bytes, fabric);
  return mapped === null
    ? messageChainSeconds(worldSize, bytes.state, numBlocks, fabric)
    : mappedChainSeconds(worldSize, mapped.chain, mapped.link);
}

/**
 * Time of a chain of P ranks in `numBlocks` messages: the first block crosses P - 1 links, the others follow it one gap
 * or one block's transfer of the slowest of them apart, whichever is longer.
 */
export function messageChainSeconds(
  worldSize: number,
  bytes: number,
  numBlocks: number,
  fabric: FabricCost,
): number {
  if (worldSize === 1) return 0;
  const crossing = chainLinks(worldSize, fabric).reduce(
    (sum, { link, count }) => sum + count * (link.latencyS + bytes / numBlocks / link.bandwidthBytesPerS),
    0,
  );
  const { gapS, bandwidthBytesPerS } = slowestLink(worldSize, fabric);
  return crossing + (numBlocks - 1) * Math.max(gapS, bytes / numBlocks / bandwidthBytesPerS);
}

/** The state's bytes from every rank but the last. */
export function chainCost(worldSize: number, bytes: SegmentBytes, seconds: number): ScanCost {
  return {
    seconds,
    bytesSentByRank: Array.from({ length: worldSize }, (_, rank) => (rank < worldSize - 1 ? bytes.state : 0)),
  };
}
