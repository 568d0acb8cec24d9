import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromArray } from '../tensor.js';
import { randomNormal } from '../testing/index.js';
import type { Communicator } from './communicator.js';
import { openInProcessGroup, openTcpGroup } from './testing/groups.js';

/** The bits of an all-reduce of values whose sum depends on the order, by rank. */
async function allReduceBits(group: readonly Communicator[], size: number): Promise<Uint8Array[]> {
  const tensors = group.map((comm) => {
    const tensor = fromArray(comm.stream.device, randomNormal(size, comm.rank), [size]);
    comm.stream.wait(comm.stream.device.compute.record());
    return tensor;
  });
  for (const comm of group) comm.allReduce(tensors[comm.rank]!);
  const sums = await Promise.all(group.map((comm) => tensors[comm.rank]!.read(comm.stream)));
  for (const tensor of tensors) tensor.release();
  return sums.map((sum) => new Uint8Array(sum.buffer));
}

for (const [engine, open] of Object.entries({ 'in-process': openInProcessGroup, tcp: openTcpGroup })) {
  for (const size of [1001, 100_003]) {
    test(`${engine} ~> allReduce of ${size} gives the same bits on all ranks, every time`, async () => {
      const group = await open(4);
      const [first] = await allReduceBits(group.comms, size);
      for (let repeat = 0; repeat < 10; repeat++) {
        for (const bits of await allReduceBits(group.comms, size)) {
          assert.is(Buffer.compare(bits, first!), 0);
        }
      }
      await group.close();
    });
  }
}

test.run();
