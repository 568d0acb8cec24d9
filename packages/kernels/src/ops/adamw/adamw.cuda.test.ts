import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../device.js';
import { empty, fromArray, type Tensor } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { expectClose, tolerances } from '../../testing/index.js';
import { clipFactor, sumOfSquares } from '../grad-norm/index.js';
import { joinHalves, splitHalves } from '../halves/index.js';
import { adamw } from './index.js';
import { firstParameter, gradientOf, numSteps, options, trainReference } from './problem.js';

/** Parameter, m and v; `offset`: where they begin in longer buffers, whose ends are looked at too. */
async function train(device: Device, size: number, maxNorm: number, offset: number, inHalves: boolean) {
  const inside = (tensor: Tensor) => tensor.view([size], offset);
  const buffer = (values: Float64Array) => {
    const padded = new Float64Array(size + 2 * offset).fill(7);
    padded.set(values, offset);
    return fromArray(device, padded, [padded.length]);
  };
  const whole = buffer(firstParameter(size));
  const moments = [new Float64Array(size), new Float64Array(size)].map(buffer);
  const half = () => empty(device, [size + 2 * offset], 'bf16');
  const halves = { high: half(), low: half() };
  splitHalves(whole, halves);
  const parameter = inHalves ? { high: inside(halves.high), low: inside(halves.low) } : inside(whole);
  const [m, v] = moments.map(inside) as [Tensor, Tensor];
  for (let step = 1; step <= numSteps; step++) {
    const gradient = inside(buffer(gradientOf(size, step)));
    const clip = clipFactor(sumOfSquares(gradient), maxNorm);
    adamw({ parameter, gradient, m, v, clip }, { ...options, step });
  }
  const found: Float64Array[] = [];
  for (const tensor of [inHalves ? joinHalves(halves) : whole, ...moments]) {
    const values = await tensor.readNumbers();
    const outside = [...values.subarray(0, offset), ...values.subarray(size + offset)];
    assert.ok(outside.every((value) => value === 7));
    found.push(values.slice(offset, size + offset));
  }
  return found;
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
      const found = await train(device, size, maxNorm, offset, false);
      ['parameter', 'm', 'v'].forEach((name, i) => {
        expectClose(name, found[i]!, expected[i]!, tolerances.f32);
      });
      assert.equal(await train(device, size, maxNorm, offset, false), found, 'the same bits twice');
      assert.equal(await train(device, size, maxNorm, offset, true), found, 'the same bits in halves');
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
  const halves = { high: empty(device, [2], 'bf16'), low: empty(device, [2], 'bf16') };
  splitHalves(parameter, halves);
  let previous: Tensor | null = null;
  for (const second of [Number.NaN, 1]) {
    const gradient = fromArray(device, [1, second], [2]);
    const clip: Tensor = clipFactor(sumOfSquares(gradient), 1, previous);
    for (const held of [parameter, halves]) {
      adamw({ parameter: held, gradient, m, v, clip }, { ...options, step: 1 });
    }
    previous = clip;
  }
  assert.equal(await Promise.all([parameter, m, v].map(async (x) => [...(await x.read())])), values);
  assert.equal([...(await joinHalves(halves).read())], values[0]);
});

test.run();
