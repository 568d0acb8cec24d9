import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { forwardCall } from '../../autograd/define-op.js';
import { fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { resetBits } from './index.js';
import { resetBitsReference } from './reference.js';

for (const T of [1, 131, 5000]) {
  testOnGpu(`reset-bits ~> rows of ${T}`, async (device) => {
    const resets = new Int32Array(5 * T);
    resets[0] = 1; // row 0: its first token
    resets[2 * T - 1] = 1; // row 1: its last
    resets[3 * T + Math.floor(T / 2)] = 1; // row 3; rows 2 and 4 have none
    const starts = fromArray(device, resets, [5, T], 'i32');
    const bits = [...(await resetBits(forwardCall(device), starts, 'f32').readNumbers())];
    assert.equal(bits, [1, 1, 0, 1, 0]);
    assert.equal(bits, resetBitsReference(resets, [5, T]));
  });
}

test.run();
