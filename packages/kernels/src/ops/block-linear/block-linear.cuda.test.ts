import { test } from 'uvu';
import { testOnGpu } from '../../testing/gpu.js';
import { checkBlockLinearOnGpu, checkMixedBlockGradient } from './check-on-gpu.js';

for (const sizes of [
  { rows: [1], G: 1, size: 1, out: 1 },
  { rows: [2, 33], G: 5, size: 4, out: 4 },
  { rows: [129], G: 3, size: 7, out: 10 },
  { rows: [300], G: 2, size: 72, out: 64 },
  { rows: [1], G: 1, size: 4, out: 4 },
  { rows: [1000], G: 131, size: 4, out: 4 },
]) {
  testOnGpu(`block-linear ~> [${sizes.rows}], ${sizes.G} blocks of ${sizes.size} to ${sizes.out}`, (device) =>
    checkBlockLinearOnGpu(device, sizes),
  );
}

for (const size of [3, 4]) {
  testOnGpu(`block-linear ~> a weight's gradient of f32 beside bf16, blocks of ${size}`, (device) =>
    checkMixedBlockGradient(device, size),
  );
}

test.run();
