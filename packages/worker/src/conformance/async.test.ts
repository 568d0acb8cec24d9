import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { fromArray, gatedLinear, type Tensor } from '@longscan/kernels';
import { randomNormal } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { recurrence } from '../sequence/recurrence.js';
import { slicesOf } from '../sequence/slice-group.js';
import type { Strategy } from '../strategy.js';
import { blockUntil } from './block-until.js';
import { type RankSet, withRanks } from './rank-set.js';
import { importUnits } from './unit-files.js';

// A held stream is held until the test opens it, so nothing here depends on how fast the machine is.
const strategies = await importUnits<Strategy>(new URL('../sp/', import.meta.url));
const numRanks = 3;
const [B, T, H, K, V] = [1, 40, 2, 4, 8] as const;
const op = gatedLinear('identity');

/** Enqueues one recurrence, forward and backward, on every rank; gives outputs and gradients of q. */
function trainStep(ranks: RankSet, strategy: Strategy): Tensor[] {
  const slices = slicesOf(ranks.devices.map(() => T));
  return ranks.communicators.flatMap((communicator, rank) => {
    const device = ranks.devices[rank]!;
    return device.scope(() => {
      const leaf = (seed: number, width: number) => {
        const shape = [B, T, H, width];
        const tensor = fromArray(device, randomNormal(B * T * H * width, seed + 10 * rank), shape);
        tensor.requiresGrad = true;
        tensor.gradient = fromArray(device, new Float32Array(tensor.size), shape);
        return tensor;
      };
      const inputs = { q: leaf(1, K), k: leaf(2, K), v: leaf(3, V), g: null };
      const group = { communicator, strategy, options: { blocks: 3 }, slices };
      const { result, tape } = device.record(() => recurrence(op, inputs, { group, resets: null }));
      tape.backward([result], [leaf(4, V)]);
      return [result, inputs.q.gradient!];
    });
  });
}

async function valuesOf(tensors: readonly Tensor[]): Promise<number[][]> {
  return Promise.all(tensors.map(async (tensor) => [...(await tensor.readNumbers())]));
}

for (const [name, strategy] of strategies) {
  test(`${name} ~> a step is enqueued while compute is held, and computes the same once it is let go`, async () => {
    const expected = await withRanks(numRanks, (ranks) => valuesOf(trainStep(ranks, strategy)));
    await withRanks(numRanks, async (ranks) => {
      const openGates = ranks.devices.map((device) => device.compute.closeGate());
      const held = trainStep(ranks, strategy);
      for (const device of ranks.devices) assert.not(device.compute.isIdle(), 'compute is held');
      for (const { stream } of ranks.communicators) assert.not(stream.isIdle(), 'its scan waits for compute');
      for (const openGate of openGates) openGate();
      assert.equal(await valuesOf(held), expected);
    });
  });
}

test('while compute is held and JavaScript blocked, collectives end and a thread beats and sees them', async () => {
  await withRanks(numRanks, async (ranks) => {
    const progress = new Int32Array(new SharedArrayBuffer(4));
    const beats = new Int32Array(new SharedArrayBuffer(8));
    ranks.communicators[0]!.attachProgress(progress, 0);
    const url = new URL('./testing/heartbeat-thread.js', import.meta.url);
    const thread = new Worker(url, { workerData: { beats, progress } });
    await once(thread, 'message');

    const sums = ranks.communicators.map(({ rank, stream }) => {
      const tensor = fromArray(stream.device, [rank + 1, 10], [2]);
      stream.wait(stream.device.compute.record());
      return tensor;
    });
    const openGates = ranks.devices.map((device) => device.compute.closeGate());
    for (const communicator of ranks.communicators) communicator.allReduce(sums[communicator.rank]!);
    const message = once(thread, 'message');
    const seen = Atomics.load(beats, 0);
    blockUntil('the collective', () => ranks.communicators.every(({ stream }) => stream.isIdle()));
    blockUntil('two beats', () => Atomics.load(beats, 0) >= seen + 2);
    blockUntil('a beat that tells of the collective', () => Atomics.load(beats, 1) === 1);
    for (const device of ranks.devices) assert.not(device.compute.isIdle(), 'compute is still held');

    await message;
    for (const openGate of openGates) openGate();
    assert.equal(await valuesOf(sums), new Array(numRanks).fill([6, 30]));
    const exit = once(thread, 'exit');
    thread.postMessage('end');
    await exit;
  });
});

test.run();
