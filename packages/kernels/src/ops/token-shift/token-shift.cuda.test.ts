import { test } from 'uvu';
import { fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, randomNormal } from '../../testing/index.js';
import { tokenShift } from './index.js';
import { tokenShiftReference } from './reference.js';

for (const [B, T, D, starts] of [
  [1, 1, 1, null],
  [1, 1, 3, [0]],
  [3, 7, 5, null],
  [2, 130, 34, [0, 1, 129, 131, 200]],
  [2, 67, 512, [9, 64]],
] as const) {
  const flags = starts && Int32Array.from({ length: B * T }, (_, i) => Number(starts.includes(i as never)));
  const x = { values: randomNormal(B * T * D, 1), shape: [B, T, D] };
  const halo = { values: randomNormal(B * D, 2), shape: [B, 1, D] };

  testOnGpu(`token-shift [${B}, ${T}, ${D}], documents from ${starts}`, async (device) => {
    await checkOpOnGpu(device, {
      name: 'without halo',
      inputs: { x },
      op: (tensors, on) => [
        tokenShift({ x: tensors.x, halo: null }, flags && fromArray(on, flags, [B, T], 'i32')),
      ],
      reference: (values) => [tokenShiftReference(values, { T, D }, flags)],
    });
    await checkOpOnGpu(device, {
      name: 'with halo',
      inputs: { x, halo },
      op: (tensors, on) => [tokenShift(tensors, flags && fromArray(on, flags, [B, T], 'i32'))],
      reference: (values) => [tokenShiftReference(values, { T, D }, flags)],
    });
  });
}

test.run();
