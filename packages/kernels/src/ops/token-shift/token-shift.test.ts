import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { empty, fromArray } from '../../tensor.js';
import { checkOp, randomNormal } from '../../testing/index.js';
import { tokenShift } from './index.js';
import { tokenShiftReference } from './reference.js';

for (const [B, T, D, starts] of [
  [1, 1, 1, null],
  [1, 1, 3, [0]],
  [3, 7, 5, null],
  [2, 130, 33, [0, 1, 129, 131, 200]],
  [2, 9, 4, [9]],
] as const) {
  const sizes = { T, D };
  const flags = starts && Int32Array.from({ length: B * T }, (_, i) => Number(starts.includes(i as never)));
  const x = { values: randomNormal(B * T * D, 1), shape: [B, T, D] };
  const halo = { values: randomNormal(B * D, 2), shape: [B, 1, D] };

  test(`token-shift [${B}, ${T}, ${D}], documents from ${starts}`, async () => {
    await checkOp({
      name: 'without halo',
      inputs: { x },
      op: (tensors, device) => [
        tokenShift({ x: tensors.x, halo: null }, flags && fromArray(device, flags, [B, T], 'i32')),
      ],
      reference: (values) => [tokenShiftReference(values, sizes, flags)],
    });
    await checkOp({
      name: 'with halo',
      inputs: { x, halo },
      op: (tensors, device) => [tokenShift(tensors, flags && fromArray(device, flags, [B, T], 'i32'))],
      reference: (values) => [tokenShiftReference(values, sizes, flags)],
    });
  });
}

test('shapes that do not fit are refused', () => {
  const device = openCpuDevice();
  const x = empty(device, [2, 3, 4]);
  assert.throws(() => tokenShift({ x, halo: x }, null), /E-SHAPE.*token-shift.*halo.*\[2, 1, 4\]/s);
  device.close();
});

test.run();
