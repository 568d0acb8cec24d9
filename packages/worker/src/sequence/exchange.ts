import { empty, type Message, type Tensor } from '@longscan/kernels';
import type { SliceGroup } from './slice-group.js';

/** Memory for a tensor of this shape from a peer, of the type of `like`. */
export function arriving(
  like: Tensor,
  shape: readonly number[],
  peer: number,
  { communicator }: SliceGroup,
): Message {
  return { tensor: empty(like.device, shape, like.dtype, communicator.stream), peer };
}

/**
 * Enqueues messages after what compute has now; the function returned orders the compute stream (not the host) after them
 * and gives what arrived. Without messages nothing is enqueued.
 */
export function startExchange(
  { communicator }: SliceGroup,
  sends: readonly Message[],
  recvs: readonly Message[],
): () => Tensor[] {
  const { stream } = communicator;
  const { compute } = stream.device;
  if (sends.length + recvs.length === 0) return () => [];
  stream.wait(compute.record());
  communicator.exchange(sends, recvs);
  const done = stream.record();
  return () => {
    compute.wait(done);
    return recvs.map(({ tensor }) => tensor);
  };
}
