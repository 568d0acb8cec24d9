import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../device.js';
import { empty, fromArray, type Tensor } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { expectClose, roundedTo, tolerances } from '../../testing/index.js';
import { clipFactor, sumOfSquares } from '../grad-norm/index.js';
import { adamw } from './index.js';
import { firstParameter, gradientOf, numSteps, options, trainReference } from './problem.js';

/** Parameter, m, v and the working copy; `offset`: where they begin in longer buffers, whose ends are looked at too. */
async function train(device: Device, size: number, maxNorm: number, offset: number): Promise<Float64Array[]> {
  const inside = (tensor: Tensor) => tensor.view([size], offset);
  const buffer = (values: Float64Array) => {
    const padded = new Float64Array(size + 2 * offset).fill(7);
    padded.set(values, offset);
    return fromArray(device, padded, [padded.length]);
  };
  const buffers = [firstParameter(size), new Float64Array(size), new Float64Array(size)].map(buffer);
  const [parameter, m, v] = buffers.map(inside) as [Tensor, Tensor, Tensor];
  const working = inside(empty(device, [size + 2 * offset], 'bf16'));
  for (let step = 1; step <= numSteps; step++) {
    const gradient = inside(buffer(gradientOf(size, step)));
    const clip = clipFactor(sumOfSquares(gradient), maxNorm);
    adamw({ parameter, gradient, m, v, clip, working }, { ...options, step });
  }
  for (const tensor of buffers) {
    const values = await tensor.readNumbers();
    const outside = [...values.subarray(0, offset), ...values.subarray(size + offset)];
    assert.ok(outside.every((value) => value === 7));
  }
  return Promise.all([parameter, m, v, working].map((tensor) => tensor.readNumbers()));
}

for (const [size, offset] of [
  [1, 0],
  [63, 16],
  [1000, 1],
  [40_001, 16],
  [300_000, 2],
] as const) {
  for (const maxNorm of [0.5, Number.POSITIVE_INFINITY]) {
    testOnGpu(`adamw, ${size} parameters from ${offset} on, norm at most ${maxNorm}`, async (device) => {
      const expected = trainReference(size, maxNorm);
      const found = await train(device, size, maxNorm, offset);
      ['parameter', 'm', 'v'].forEach((name, i) => {
        expectClose(name, found[i]!, expected[i]!, tolerances.f32);
      });
      assert.equal([...found[3]!], [...roundedTo('bf16', found[0]!)], 'the working copy');
      assert.equal(await train(device, size, maxNorm, offset), found, 'the same bits twice');
    });
  }
}

testOnGpu('a gradient that is not finite changes nothing, nor do those after it', async (device) => {
  const values = [
    [1, 2],
    [3, 4],
    [5, 6],
  ];
  const [parameter, m, v] = values.map((pair) => fromArray(device, pair, [2])) as [Tensor, Tensor, Tensor];
  const working = fromArray(device, [0, 0x4000], [2], 'bf16');
  let previous: Tensor | null = null;
  for (const second of [Number.NaN, 1]) {
    const gradient = fromArray(device, [1, second], [2]);
    const clip: Tensor = clipFactor(sumOfSquares(gradient), 1, previous);
    adamw({ parameter, gradient, m, v, clip, working }, { ...options, step: 1 });
    previous = clip;
  }
  assert.equal(await Promise.all([parameter, m, v].map(async (x) => [...(await x.read())])), values);
  assert.equal([...(await working.readNumbers())], [0, 2]);
});

testOnGpu('adamw without a working copy', async (device) => {
  const ones = () => fromArray(device, [1, 1, 1], [3]);
  const [parameter, gradient] = [ones(), ones()];
  const [m, v] = [0, 0].map(() => fromArray(device, [0, 0, 0], [3])) as [Tensor, Tensor];
  const clip = clipFactor(sumOfSquares(gradient), Number.POSITIVE_INFINITY);
  adamw({ parameter, gradient, m, v, clip, working: null }, { ...options, step: 1 });
  const expected = 1 - options.learningRate * (1 + options.weightDecay);
  for (const value of await parameter.read()) assert.ok(Math.abs(value - expected) < 1e-6);
});

test.run();
