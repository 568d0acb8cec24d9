import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Device, openCpuDevice } from '../../device.js';
import { type DType, fromArray, type Tensor } from '../../tensor.js';
import { expectClose, tolerances } from '../../testing/index.js';
import { clipFactor, sumOfSquares } from '../grad-norm/index.js';
import { adamw } from './index.js';
import { firstParameter, gradientOf, numSteps, options, trainReference } from './problem.js';

async function train(device: Device, size: number, dtype: DType, maxNorm: number): Promise<Float64Array[]> {
  const parameter = fromArray(device, firstParameter(size), [size], dtype);
  const m = fromArray(device, new Float64Array(size), [size], dtype);
  const v = fromArray(device, new Float64Array(size), [size], dtype);
  for (let step = 1; step <= numSteps; step++) {
    const gradient = fromArray(device, gradientOf(size, step), [size], dtype);
    adamw(
      { parameter, gradient, m, v, clip: clipFactor(sumOfSquares(gradient), maxNorm) },
      { ...options, step },
    );
  }
  return Promise.all([parameter, m, v].map((tensor: Tensor) => tensor.readNumbers()));
}

for (const size of [1, 63, 1000, 40_001]) {
  for (const maxNorm of [0.5, Infinity]) {
    test(`adamw, ${size} parameters, norm at most ${maxNorm}`, async () => {
      const expected = trainReference(size, maxNorm);
      const device = openCpuDevice({ threads: 2, poison: true });
      const best = device.native.cpuInfo().level;
      try {
        for (let level = best; level >= 0; level--) {
          device.native.cpuLimit(level);
          for (const dtype of ['f32', 'f64'] as const) {
            const found = await train(device, size, dtype, maxNorm);
            ['parameter', 'm', 'v'].forEach((name, i) => {
              expectClose(`level ${level} ${dtype} ${name}`, found[i]!, expected[i]!, tolerances[dtype]);
            });
          }
        }
      } finally {
        device.native.cpuLimit(best);
        device.close();
      }
    });
  }
}

test('a gradient that is not finite changes nothing', async () => {
  const device = openCpuDevice();
  try {
    for (const bad of [Number.NaN, Infinity]) {
      const [parameter, m, v] = [
        [1, 2],
        [3, 4],
        [5, 6],
      ].map((values) => fromArray(device, values, [2])) as [Tensor, Tensor, Tensor];
      const gradient = fromArray(device, [1, bad], [2]);
      const clip = clipFactor(sumOfSquares(gradient), 1);
      adamw({ parameter, gradient, m, v, clip }, { ...options, step: 1 });
      assert.equal([...(await parameter.read())], [1, 2]);
      assert.equal([...(await m.read())], [3, 4]);
      assert.equal([...(await v.read())], [5, 6]);
    }
  } finally {
    device.close();
  }
});

test.run();
