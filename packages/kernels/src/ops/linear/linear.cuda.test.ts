import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { testOnGpu } from '../../testing/gpu.js';
import { checkLinearOnGpu, checkMixedLinear } from './check-on-gpu.js';
import { gemmInfo } from './index.js';

for (const shape of [
  { leading: [1], numIn: 1, numOut: 1 },
  { leading: [2, 3], numIn: 5, numOut: 7 },
  { leading: [63], numIn: 33, numOut: 100 },
  { leading: [1], numIn: 256, numOut: 64 },
  { leading: [1000], numIn: 17, numOut: 31 },
  { leading: [2, 500], numIn: 264, numOut: 392 },
]) {
  testOnGpu(`linear ~> [${shape.leading}] ${shape.numIn} to ${shape.numOut}`, (device) =>
    checkLinearOnGpu(device, shape),
  );
}

for (const sizes of [
  [1, 3, 5],
  [333, 72, 40],
  [2000, 128, 264],
]) {
  testOnGpu(`linear in bf16 with f32 gradients ~> ${sizes}`, (device) => checkMixedLinear(device, sizes));
}

testOnGpu('gemmInfo ~> the library, its version and path', async (device) => {
  const { engine, version, path } = gemmInfo(device);
  assert.is(engine, 'cublasLt');
  assert.match(version, /^1[2-9]\.\d+\.\d+$/);
  assert.match(path, /\/.*cublasLt/);
});

test.run();
