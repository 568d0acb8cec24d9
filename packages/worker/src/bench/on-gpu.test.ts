import { copy, empty } from '@longscan/kernels';
import { withFakeGpu } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { lengthThatFits } from './length-that-fits.js';
import { measure, measureGraph } from './measure.js';

// Over a driver whose GPU is a thread that takes a millisecond for each copy.

const shape = { B: 1, T: 1_000_000, H: 1, K: 1, V: 1 };

test('bench on a GPU ~> as a graph and not, the work of a round is all that is timed', () =>
  withFakeGpu({}, async (device) => {
    const [a, b] = [empty(device, [4]), empty(device, [4])];
    const copies = () => {
      for (let i = 0; i < 5; i++) copy(a, b);
    };
    for (const { medianMs, lowMs, highMs } of [
      await measure(device, 3, copies),
      await measureGraph(device, 3, copies),
    ])
      assert.ok(lowMs >= 5 && lowMs <= medianMs && medianMs <= highMs);
    const { inUseBytes } = device.memory();
    await measureGraph(device, 1, () => device.scope(() => copy(a, empty(device, [4]))));
    assert.is(device.memory().inUseBytes, inUseBytes);
  }));

test('bench on a GPU ~> a failing round leaves the stream open', () =>
  withFakeGpu({}, async (device) => {
    const failing = measure(device, 1, () => {
      throw new Error('no memory');
    });
    assert.is(await failing.catch((error: Error) => error.message), 'no memory');
    await device.compute.sync();
  }));

test('bench on a GPU ~> a length that fits, from the memory of a short one', () =>
  withFakeGpu({ fake: 'bytes=100000000' }, (device) => {
    const kept = empty(device, [5_000_000]); // 20 of 100 MB
    const lengths: number[] = [];
    const T = lengthThatFits(device, shape, ({ T }) => {
      lengths.push(T);
      empty(device, [T, 100]);
    });
    assert.equal(lengths, [4096]);
    assert.ok(T !== null && T % 4096 === 0 && T > 100_000 && T < 200_000, `${T}`);
    empty(device, [T!, 100]).release();
    kept.release();
  }));

test('bench on a GPU ~> no length where not even a short one fits', () =>
  withFakeGpu({ fake: 'bytes=1000000' }, (device) => {
    assert.is(
      lengthThatFits(device, shape, ({ T }) => void empty(device, [T, 100])),
      null,
    );
  }));

test.run();
