import { type Communicator, composeTransitions, type Stream, type Tensor } from '@longscan/kernels';
import { slowestLink } from '../fabric.js';
import type { Segment } from '../state/segment.js';
import { emptyMessage, packSegment, unpackSegment } from '../state/segment-buffer.js';
import {
  type Direction,
  defineStrategy,
  type FabricCost,
  type PendingState,
  type ScanCost,
  type SegmentBytes,
  scanPlace,
} from '../strategy.js';

/**
 * Hillis and Steele's scan: in round i every rank hands what the 2^i ranks up to it do to the rank 2^i further on, so
 * that ⌈log2 P⌉ messages follow each other instead of P - 1. A run that begins at the first rank needs no M any more,
 * since nothing enters it.
 */
export default defineStrategy({
  name: 'doubling-scan',
  paper: 'https://doi.org/10.1145/7902.7903',
  cost: doublingCost,
  start: startDoubling,
});

/** The ranks that end at this one, as one segment; `isWhole`: the first rank is among them, so M and resets are void. */
interface Run {
  readonly segment: Segment;
  readonly isWhole: boolean;
}

function startDoubling(local: Segment, group: Communicator, direction: Direction): PendingState {
  const { device } = local.state;
  const { stream } = group;
  stream.wait(device.compute.record());
  const { position } = scanPlace(group, direction);
  const step = direction === 'forward' ? 1 : -1;
  let inclusive: Run = { segment: local, isWhole: position === 0 };
  let exclusive: Run | null = null;
  for (let distance = 1; distance < group.size; distance *= 2) {
    const [from, to] = [position - distance, position + distance];
    const sent = to < group.size ? messageOf(inclusive, stream) : null;
    // Whoever is less than `distance` from the first rank has a whole run by now.
    const isWhole = from < distance;
    const received = from >= 0 ? emptyMessage(inclusive.segment, stream, !isWhole) : null;
    group.exchange(
      sent === null ? [] : [{ tensor: sent, peer: group.rank + step * distance }],
      received === null ? [] : [{ tensor: received, peer: group.rank - step * distance }],
    );
    if (received === null) continue;
    const before: Run = {
      // A run that is not whole has as many ranks as this one's, so an M that is known from the length is the same.
      segment: isWhole ? stateOnly(received, local) : unpackSegment(received, inclusive.segment),
      isWhole,
    };
    exclusive = exclusive === null ? before : after(before, exclusive, stream);
    inclusive = after(before, inclusive, stream);
  }
  const done = stream.record();
  const incoming = exclusive?.segment.state ?? null;
  return {
    wait() {
      device.compute.wait(done);
      return incoming;
    },
  };
}

function messageOf({ segment, isWhole }: Run, stream: Stream): Tensor {
  const message = emptyMessage(segment, stream, !isWhole);
  packSegment(segment, message, stream, !isWhole);
  return message;
}

function stateOnly(message: Tensor, { state, kind }: Segment): Segment {
  return { state: message.view(state.shape), kind, factor: null, reset: null };
}

/** `run` with what comes before it. */
function after(before: Run, run: Run, stream: Stream): Run {
  return { segment: composeTransitions(before.segment, run.segment, stream), isWhole: before.isWhole };
}

/** ⌈log2 P⌉ rounds, of which none sends M that nothing will enter. */
function doublingCost(worldSize: number, bytes: SegmentBytes, fabric: FabricCost): ScanCost {
  const { latencyS, bandwidthBytesPerS } = slowestLink(worldSize, fabric);
  const bytesSentByRank = Array.from({ length: worldSize }, () => 0);
  let seconds = 0;
  for (let distance = 1; distance < worldSize; distance *= 2) {
    let largest = 0;
    for (let rank = 0; rank + distance < worldSize; rank++) {
      const sent = bytes.state + (rank < distance ? 0 : bytes.transition);
      bytesSentByRank[rank]! += sent;
      largest = Math.max(largest, sent);
    }
    seconds += latencyS + largest / bandwidthBytesPerS;
  }
  return { seconds, bytesSentByRank };
}
