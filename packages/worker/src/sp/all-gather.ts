import { type Communicator, empty, type Tensor } from '@longscan/kernels';
import { applySegment, numRows, type Segment, wireParts } from '../state/segment.js';
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
  const parts = [local.state, ...wireParts(local)];
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const gathered = empty(device, [group.size, size], dtype, stream);
  const own = gathered.view([size], group.rank * size);
  let offset = 0;
  for (const part of parts) {
    device.native.copy(stream.id, part.id, own.view(part.shape, offset).id);
    offset += part.size;
  }
  group.allGather(own, gathered);

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

  /** The segment of any rank, as views into what was gathered; M that did not travel is this rank's own. */
  function segmentOf(rank: number): Segment {
    let at = rank * size;
    const take = (part: Tensor): Tensor => {
      const view = gathered.view(part.shape, at);
      at += part.size;
      return view;
    };
    const [, ...travelled] = parts;
    return {
      ...local,
      state: take(local.state),
      factor: local.factor !== null && travelled.includes(local.factor) ? take(local.factor) : local.factor,
      reset: local.reset && take(local.reset),
    };
  }
}
