import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../device.js';
import { type DType, empty, fromArray, type Tensor, zeros } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { expectClose, expectSameBits, fromNumbers, tolerances } from '../../testing/index.js';
import { clipFactor, readClip, sumOfParts, sumOfSquares } from '../grad-norm/index.js';
import { joinHalves, splitHalves } from '../halves/index.js';
import { adamw, sumParts } from './index.js';
import { firstParameter, gradientOf, numSteps, options, trainReference } from './problem.js';

/** A longer buffer with these numbers from `offset` on, between others. */
function paddedBy(offset: number, device: Device, values: Float64Array, dtype: DType = 'f32'): Tensor {
  const padded = new Float64Array(values.length + 2 * offset).fill(7);
  padded.set(values, offset);
  return fromNumbers(device, padded, [padded.length], dtype);
}

/** What such a buffer has between its ends, which nothing may have touched. */
async function withoutEnds(tensor: Tensor, offset: number): Promise<Float64Array> {
  const values = await tensor.readNumbers();
  const end = values.length - offset;
  const outside = [...values.subarray(0, offset), ...values.subarray(end)];
  assert.ok(outside.every((value) => value === 7));
  return values.slice(offset, end);
}

/** Parameter, m and v; `offset`: where they begin in longer buffers. */
async function train(device: Device, size: number, maxNorm: number, offset: number, inHalves: boolean) {
  const inside = (tensor: Tensor) => tensor.view([size], offset);
  const buffer = (values: Float64Array) => paddedBy(offset, device, values);
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
  const changed = [inHalves ? joinHalves(halves) : whole, ...moments];
  return Promise.all(changed.map((tensor) => withoutEnds(tensor, offset)));
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
      expectSameBits('twice', await train(device, size, maxNorm, offset, false), found);
      expectSameBits('in halves', await train(device, size, maxNorm, offset, true), found);
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

/** Where the tensors of a step lie, and in what. */
interface Placement {
  readonly moments: 'f32' | 'bf16';
  readonly inHalves: boolean;
  readonly offset: number;
  readonly firstElement: number;
}

/** Parameter, m and v after a step whose gradient's norm is summed beside it or before, and that norm. */
async function stepWithNorm(device: Device, values: Float64Array, placement: Placement, isBeside: boolean) {
  const { moments, inHalves, offset, firstElement } = placement;
  const { length: size } = values;
  const padded = (inner: Float64Array, dtype: DType) => paddedBy(offset, device, inner, dtype);
  const inside = (tensor: Tensor) => tensor.view([tensor.size - 2 * offset], offset);
  const whole = padded(firstParameter(size), 'f32');
  const half = () => empty(device, whole.shape, 'bf16');
  const halves = { high: half(), low: half() };
  splitHalves(whole, halves);
  const [m, v] = [padded(new Float64Array(size), moments), padded(new Float64Array(size), moments)];
  const gradient = inside(padded(values, 'f32'));
  const parts = padded(new Float64Array(sumParts(size)), 'f64');
  const squares = isBeside ? inside(parts) : undefined;
  const clip = isBeside
    ? fromArray(device, [1, 0, 1], [3], 'f64')
    : clipFactor(sumOfSquares(gradient), Number.POSITIVE_INFINITY);
  const parameter = inHalves ? { high: inside(halves.high), low: inside(halves.low) } : inside(whole);
  const rounding = { key: [1, 2], firstElement } as const;
  const tensors = { parameter, gradient, m: inside(m), v: inside(v), clip, squares };
  adamw(tensors, { ...options, step: 1, rounding });
  const decided = squares ? clipFactor(sumOfParts(squares), Number.POSITIVE_INFINITY, clip) : clip;
  await withoutEnds(parts, offset);
  const changed = [inHalves ? joinHalves(halves) : whole, m, v];
  const found = await Promise.all(changed.map((tensor) => withoutEnds(tensor, offset)));
  return { found, clip: await readClip(decided), decided };
}

// Packs of several elements are of aligned memory, and in bf16 of elements that begin a block of random numbers.
const placements = [
  { inHalves: false, offset: 0, firstElement: 0 },
  { inHalves: false, offset: 1, firstElement: 5 },
  { inHalves: true, offset: 16, firstElement: 64 },
  { inHalves: true, offset: 16, firstElement: 3 },
  { inHalves: true, offset: 3, firstElement: 4 },
] as const;

for (const [size, places] of [
  [1, placements],
  [1023, placements],
  [1025, placements],
  [20_001, placements],
  [300_001, placements.slice(0, 1)],
] as const) {
  for (const moments of ['f32', 'bf16'] as const) {
    testOnGpu(
      `adamw, ${size} parameters, moments in ${moments}, takes the norm beside the update`,
      async (device) => {
        const values = gradientOf(size, 1);
        const infinite = values.with(-1, Number.POSITIVE_INFINITY);
        for (const place of places) {
          const placement = { ...place, moments };
          const before = await stepWithNorm(device, values, placement, false);
          const beside = await stepWithNorm(device, values, placement, true);
          expectSameBits('beside', beside.found, before.found);
          assert.ok(Math.abs(beside.clip.norm / before.clip.norm - 1) < 1e-13);
          assert.ok(beside.clip.isFinite && beside.clip.factor === 1);
          const atEven = { ...placement, inHalves: false, offset: 0 };
          const even = await stepWithNorm(device, values, atEven, false);
          expectSameBits('at an even place', even.found, before.found);
          // The last of them.
          const bad = await stepWithNorm(device, infinite, placement, true);
          assert.ok(!bad.clip.isFinite);
          const untouched = [firstParameter(size).at(-1)!, 0, 0].map(Math.fround);
          bad.found.forEach((found, i) => {
            assert.is(found[size - 1], untouched[i], 'what is not finite is not applied');
            expectSameBits('the rest is', found.subarray(0, -1), before.found[i]!.subarray(0, -1));
          });
          // Nothing is from then on.
          const parameter = fromArray(device, [3], [1]);
          const [m, v] = [zeros(device, [1]), zeros(device, [1])];
          const squares = empty(device, [1], 'f64');
          const one = { parameter, gradient: fromArray(device, [1], [1]), m, v, clip: bad.decided, squares };
          adamw(one, { ...options, step: 2 });
          assert.equal([...(await parameter.read()), ...(await m.read())], [3, 0]);
          const after = clipFactor(sumOfParts(squares), Number.POSITIVE_INFINITY, bad.decided);
          assert.ok(!(await readClip(after)).isFinite);
        }
      },
    );
  }
}

test.run();
