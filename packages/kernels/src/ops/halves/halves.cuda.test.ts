import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { empty, fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { halvesCases } from './cases.js';
import { joinHalves, splitHalves } from './index.js';
import { halvesReference } from './reference.js';

testOnGpu('f32 numbers as halves ~> as defined, and the same bits together', async (device) => {
  const values = halvesCases(300_001);
  const given = fromArray(device, values, [values.length]);
  const halves = {
    high: empty(device, given.shape, 'bf16'),
    low: empty(device, given.shape, 'bf16'),
  };
  splitHalves(given, halves);
  const expected = halvesReference(values);
  assert.equal(await halves.high.read(), expected.high);
  assert.equal(await halves.low.read(), expected.low);
  const found = (await joinHalves(halves).read()) as Float32Array;
  assert.equal(new Uint32Array(found.buffer), new Uint32Array(values.buffer));
});

testOnGpu('NaN stays NaN', async (device) => {
  const given = fromArray(device, [0, 0], [2]);
  given.write(new Float32Array(Uint32Array.from([0x7fffffff, 0xff800001]).buffer));
  const halves = { high: empty(device, [2], 'bf16'), low: empty(device, [2], 'bf16') };
  splitHalves(given, halves);
  for (const tensor of [halves.high, joinHalves(halves)]) {
    assert.ok((await tensor.readNumbers()).every(Number.isNaN));
  }
});

test.run();
