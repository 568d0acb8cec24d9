import { type Communicator, empty, type Tensor } from '@longscan/kernels';
import { applySegment, numRows, type Segment } from '../state/segment.js';
import { packSegment, segmentElements, unpackSegment } from '../state/segment-buffer.js';
import { type Direction, defineStrategy, type PendingState, scanPlace } from '../strategy.js';

/**
 * LASP-2: one all-gather of every rank's (M, E), then each rank folds those before it in rank order (after it, in
 * reverse). One step on the critical path, P - 1 segments received; with decay, M travels too, which the paper leaves
 * out.
 */
export default defineStrategy({
  name: 'all-gather',
  paper: 'https://arxiv.org/abs/2502.07563',
  cost(worldSize, bytes, link) {
    const perRank = (worldSize - 1) * (bytes.state + bytes.transition);
    return {
      seconds: (worldSize - 1) * link.latencyS + perRank / link.bandwidthBytesPerS,
      bytesSentByRank: Array.from({ length: worldSize }, () => perRank),
    };
  },
  start: startAllGather,
});

function startAllGather(local: Segment, group: Communicator, direction: Direction): PendingState {
  const { device, dtype, shape } = local.state;
  const { stream } = group;
  stream.wait(device.compute.record());
  const size = segmentElements(local);
  const gathered = empty(device, [group.size, size], dtype, stream);
  const own = gathered.view([size], group.rank * size);
  packSegment(local, own, stream);
  group.allGather(own, gathered);

  const segmentOf = (rank: number) => unpackSegment(gathered, local, rank * size);
  const { position, prev } = scanPlace(group, direction);
  let incoming: Tensor | null = null;
  if (prev !== null) {
    incoming = empty(device, shape, dtype, stream);
    const rows = { begin: 0, end: numRows(incoming) };
    const step = direction === 'forward' ? 1 : -1;
    const first = group.rank - step * position;
    // The scan begins at `first` with nothing before it, so its E is the state that it hands on.
    device.native.copy(stream.id, segmentOf(first).state.id, incoming.id);
    for (let i = 1; i < position; i++) {
      applySegment(segmentOf(first + step * i), incoming, incoming, rows, stream);
    }
  }
  const done = stream.record();
  return {
    wait() {
      device.compute.wait(done);
      return incoming;
    },
  };
}
