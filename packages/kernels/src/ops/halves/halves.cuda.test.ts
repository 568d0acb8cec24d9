import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { empty, fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkHalves, halvesCases } from './cases.js';
import { joinHalves, splitHalves } from './index.js';

testOnGpu('f32 numbers as halves ~> as defined, and the same bits together', async (device) => {
  await checkHalves(device, halvesCases(300_001));
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
