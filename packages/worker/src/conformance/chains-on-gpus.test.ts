import { fromArray } from '@longscan/kernels';
import { openFakeNcclGroup } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startChain } from '../chain.js';
import allScan from '../sp/all-scan.js';
import ring from '../sp/ring.js';
import type { RankMaker } from './rank-set.js';
import { exactnessChecks } from './strategy/exactness.js';

// The strategies that are chains on fake GPUs, whose kernels know segments without M and with one number a head: by messages
// over NCCL and through mapped memory, under the same checks. strategies.cuda.test.ts has all of them on a GPU.

for (const peerMemory of ['off', 'allowed'] as const) {
  const engine: RankMaker = async (numRanks, timeoutMs) => {
    const group = await openFakeNcclGroup(numRanks, { peerMemory, timeoutMs });
    assert.ok(group.comms.every(({ chain }) => (chain !== undefined) === (peerMemory !== 'off')));
    return { communicators: group.comms, close: () => void group.close() };
  };
  const options = { engine, dtypes: ['f32'], blockCounts: [3], kinds: ['identity', 'scalar'] } as const;
  for (const strategy of [allScan, ring]) {
    for (const { name, run } of exactnessChecks(strategy, 3, options))
      test(`${strategy.name}, mapped memory ${peerMemory} ~> ${name}`, run);
  }
}

test('a state with rows longer than a block ~> as a message, though chains go through mapped memory', async () => {
  const group = await openFakeNcclGroup(2, { peerMemory: 'required' });
  const shape = [1, 1, 2, 8193];
  const values = Float32Array.from({ length: 2 * 8193 }, (_, i) => i % 1000);
  const incoming = group.comms.map((comm) => {
    const state = fromArray(comm.stream.device, values, shape);
    return startChain({ kind: 'identity', state, factor: null, reset: null }, comm, 'forward', 1).wait();
  });
  assert.is(incoming[0], null);
  assert.equal(await incoming[1]!.read(), values);
  await group.close();
});

test.run();
