import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { forwardCall } from '../../autograd/define-op.js';
import { openCpuDevice } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { resetBits } from './index.js';
import { resetBitsReference } from './reference.js';

test('reset-bits ~> one bit per batch row, wherever its documents start', async () => {
  const device = openCpuDevice({ poison: true });
  try {
    const T = 131;
    const resets = new Int32Array(4 * T);
    resets[0] = 1; // row 0: its first token
    resets[2 * T - 1] = 1; // row 1: its last
    resets[3 * T + 70] = 1; // row 3; row 2 has none
    const starts = fromArray(device, resets, [4, T], 'i32');
    for (const dtype of ['f32', 'f64'] as const) {
      const bits = [...(await resetBits(forwardCall(device), starts, dtype).readNumbers())];
      assert.equal(bits, [1, 1, 0, 1]);
      assert.equal(bits, resetBitsReference(resets, [4, T]));
    }
  } finally {
    device.close();
  }
});

test.run();
