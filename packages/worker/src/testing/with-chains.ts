import type { Communicator, SegmentSummary, Tensor } from '@longscan/kernels';
import { stateAfter } from '../state/segment.js';

/**
 * A communicator that has chains of its own, as GPUs of one host have: here each is a message from rank to rank. `arrived` is shown
 * what has come in.
 */
export function withChains(group: Communicator, arrived: (state: Tensor) => void = () => {}): Communicator {
  const { rank, size, stream } = group;
  const chain = (segment: SegmentSummary, incoming: Tensor | null, step: 1 | -1) => {
    if (incoming !== null) {
      group.recv(incoming, rank - step);
      arrived(incoming);
    }
    const next = rank + step;
    if (next < 0 || next >= size) return;
    stream.device.scope(() => {
      group.send(incoming === null ? segment.state : stateAfter(segment, incoming, stream), next);
    });
  };
  return Object.assign(Object.create(group) as Communicator, { chain });
}
