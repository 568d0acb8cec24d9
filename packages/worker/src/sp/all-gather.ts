import { type Communicator, empty, type Tensor } from '@longscan/kernels';
import { directBytes, slowestLink, toAllSeconds } from '../fabric.js';
import { applySegment, numRows, type Segment, unitsOf } from '../state/segment.js';
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
  cost(worldSize, bytes, fabric) {
    const link = slowestLink(worldSize, fabric);
    const { state, transition, units = 1 } = bytes;
    const message = units * (state + transition);
    const transferS = message / link.bandwidthBytesPerS;
    const ring = (worldSize - 1) * (link.latencyS + transferS);
    return {
      seconds: message <= directBytes ? toAllSeconds(worldSize, message, link) : ring,
      bytesSentByRank: Array.from({ length: worldSize }, () => (worldSize - 1) * message),
    };
  },
  keepsUnits: true,
  folds: true,
  start: startAllGather,
});

function startAllGather(local: Segment, group: Communicator, direction: Direction): PendingState {
  const { device, dtype, shape } = local.state;
  const { stream } = group;
  stream.wait(device.compute.record());
  // In deterministic mode a rank sends its units one by one, so that everybody folds them in the same order.
  const units = unitsOf(local);
  const unitSize = segmentElements(local);
  const size = units.length * unitSize;
  const gathered = empty(device, [group.size, size], dtype, stream);
  const own = gathered.view([size], group.rank * size);
  units.forEach((unit, i) => {
    packSegment(unit, own.view([unitSize], i * unitSize), stream);
  });
  group.allGather(own, gathered);

  const { position } = scanPlace(group, direction);
  const step = direction === 'forward' ? 1 : -1;
  const before = Array.from({ length: position }, (_, i) => group.rank - step * (position - i)).flatMap(
    (rank) => units.map((unit, i) => unpackSegment(gathered, unit, rank * size + i * unitSize)),
  );
  let incoming: Tensor | null = null;
  const [first, ...rest] = before;
  if (first !== undefined) {
    incoming = empty(device, shape, dtype, stream);
    const rows = { begin: 0, end: numRows(incoming) };
    // The scan begins with nothing before it, so the first E is the state that is handed on.
    device.native.copy(stream.id, first.state.id, incoming.id);
    for (const segment of rest) applySegment(segment, incoming, incoming, rows, stream);
  }
  const done = stream.record();
  return {
    wait() {
      device.compute.wait(done);
      return incoming;
    },
  };
}
