import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { empty } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { fillNormal } from './index.js';
import { normalReference } from './reference.js';

for (const size of [1, 3, 1001, 70_001]) {
  testOnGpu(`fillNormal ~> ${size} elements are those of the definition`, async (device) => {
    const key = [0xdead_beef, size] as const;
    const target = empty(device, [size]);
    fillNormal(target, 0.25, key);
    const expected = normalReference(size, key);
    for (const [i, value] of (await target.readNumbers()).entries()) {
      assert.ok(Math.abs(value - 0.25 * expected[i]!) < 1e-7, `element ${i}: ${value}`);
    }
  });
}

test.run();
