import { type Communicator, emptyLike, type Tensor } from '@longscan/kernels';
import type { Received } from './received.js';

export interface SumOptions {
  /** Null: this rank is alone. */
  readonly communicator: Communicator | null;
  readonly received: Received;
  /** Enqueued while the sum is under way. */
  readonly meanwhile?: (() => void) | undefined;
}

/** The sum of `part` over ranks, in one all-reduce; its gradient is the sum of the ranks' gradients, in another one. */
export function sumOverRanks(part: Tensor, { communicator, received, meanwhile }: SumOptions): Tensor {
  if (communicator === null) {
    meanwhile?.();
    return part;
  }
  const pending = received.isReplay ? null : startSum(part, communicator);
  meanwhile?.();
  const total = received.next(() => pending!())!;
  const { tape } = part.device;
  // A tensor of its own: a replay gets the very one of the first run.
  const output = total.view(total.shape);
  if (tape !== null && part.requiresGrad) {
    tape.record({
      name: 'sum-over-ranks',
      flushes: true,
      inputs: [part],
      outputs: [output],
      saved: [],
      backward: ([gradient]) => {
        const wait = startSum(gradient!, communicator);
        tape.flushDeferred();
        return [wait()];
      },
    });
  }
  return output;
}

/** Only enqueues; the function that is returned lets the compute stream wait for the sum. */
function startSum(part: Tensor, communicator: Communicator): () => Tensor {
  const { device } = part;
  const { stream } = communicator;
  const total = emptyLike(part);
  device.native.copy(device.compute.id, part.id, total.id);
  stream.wait(device.compute.record());
  communicator.allReduce(total);
  const done = stream.record();
  return () => {
    device.compute.wait(done);
    return total;
  };
}
