import { type Communicator, empty } from '@longscan/kernels';
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
 * A chain over ranks: each receives the state, applies its own segment and hands it on, block by block of the free
 * axis, so that a rank works on one block while the next is under way. Only the state travels, never M.
 */
export function startChain(
  local: Segment,
  group: Communicator,
  direction: Direction,
  numBlocks: number,
): PendingState {
  const { prev, next } = scanPlace(group, direction);
  const { device } = local.state;
  const { stream } = group;
  const { shape, dtype } = local.state;
  stream.wait(device.compute.record());
  const incoming = prev === null ? null : empty(device, shape, dtype, stream);
  const handedOn = () =>
    prev === null ? stateFromNothing(local, stream) : empty(device, shape, dtype, stream);
  const outgoing = next === null ? null : handedOn();
  for (const rows of cutRows(numRows(local.state), numBlocks)) {
    if (incoming !== null) group.recv(rowsOf(incoming, rows), prev!);
    if (outgoing === null) continue;
    if (incoming !== null) applySegment(local, incoming, outgoing, rows, stream);
    group.send(rowsOf(outgoing, rows), next!);
  }
  const done = stream.record();
  return {
    wait() {
      device.compute.wait(done);
      return incoming;
    },
  };
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

/**
 * Time of a chain of P ranks in `numBlocks` blocks: the first block crosses P - 1 links, the others follow it one gap
 * or one block's transfer of the slowest of them apart, whichever is longer.
 */
export function chainSeconds(
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
