import type { Communicator } from '@longscan/kernels';

/**
 * What `enqueue` gives, which puts work behind a barrier of the ranks. All of it is enqueued before any of it starts, so that
 * JavaScript's time has no part in that of the streams.
 */
export function behindBarrier<T>(group: Communicator, enqueue: () => T): T {
  const { stream } = group;
  stream.wait(stream.device.compute.record());
  const openGate = stream.closeGate();
  try {
    group.barrier();
    return enqueue();
  } finally {
    openGate();
  }
}
