import type { Communicator } from '@longscan/kernels';

/**
 * The group for a trial that no other rank takes part in: what works on it takes this rank's memory and launches its kernels, and
 * nothing goes between ranks. What would have been received has any numbers.
 */
export function withoutMessages(group: Communicator): Communicator {
  const { rank, size, stream, chain } = group;
  const nothing = (): void => {};
  return {
    ...{ rank, size, stream },
    ...{ send: nothing, recv: nothing, exchange: nothing, broadcast: nothing, barrier: nothing },
    ...{ allGather: nothing, reduceScatter: nothing, allReduce: nothing },
    // Strategies ask whether the group has chains of its own.
    ...(chain !== undefined && { chain: nothing }),
    ...{
      bytesSent: () => 0,
      recordBytesSent: nothing,
      attachProgress: nothing,
      abort: nothing,
      close: nothing,
    },
  };
}
