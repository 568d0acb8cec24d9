import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Device, openCpuDevice } from '../../device.js';
import { fill } from '../../index.js';
import { fromArray, zeros } from '../../tensor.js';
import { adamw } from './index.js';
import { checkStoredBits, rounding, trainRounded } from './moments.js';
import { adamwReference } from './reference.js';

/** On devices of so many threads, at every instruction-set level. */
async function onEveryCpu(threads: readonly number[], body: (device: Device) => Promise<void>) {
  for (const count of threads) {
    const device = openCpuDevice({ threads: count, poison: true });
    const best = device.native.cpuInfo().level;
    try {
      for (let level = best; level >= 0; level--) {
        device.native.cpuLimit(level);
        await body(device);
      }
    } finally {
      device.native.cpuLimit(best);
      device.close();
    }
  }
}

for (const size of [1, 5, 1003]) {
  test(`moments in bf16, ${size} ~> stored as the definition says`, () =>
    onEveryCpu([1], (device) => checkStoredBits(device, size)));
}

test('moments in bf16 ~> the same bits on every CPU, for every number of threads, whole and in parts', async () => {
  const size = 40_001;
  let expected: unknown = null;
  await onEveryCpu([1, 3], async (device) => {
    for (const cuts of [
      [0, size],
      [0, 16, 1003, 1004, 30_000, size],
    ]) {
      const found = await trainRounded(device, size, 3, cuts);
      expected ??= found;
      assert.equal(found, expected);
    }
  });
});

test('moments in bf16 ~> right in the mean: of many, the moments that f32 has', async () => {
  const device = openCpuDevice({ poison: true });
  try {
    const count = 2 ** 16;
    // Between two bf16 numbers, in the first and the last quarter; both signs; about the smallest that is normal.
    for (const value of [1 + 2 ** -9, -(3 + 2 ** -7), 2 ** -120 * 1.99]) {
      const [parameter, m, v] = [
        zeros(device, [count]),
        zeros(device, [count], 'bf16'),
        zeros(device, [count], 'bf16'),
      ];
      const gradient = zeros(device, [count]);
      fill(gradient, value);
      const clip = fromArray(device, [1, 1, 1], [3], 'f64');
      const options = { learningRate: 0, beta1: 0, beta2: 0, eps: 1e-8, weightDecay: 0, step: 1, rounding };
      adamw({ parameter, gradient, m, v, clip }, options);
      const found = await m.readNumbers();
      const unit = 2 ** (Math.floor(Math.log2(Math.abs(value))) - 7);
      const share = Math.abs(value / unit) % 1;
      const mean = found.reduce((sum, x) => sum + x, 0) / count;
      const bound = 5 * unit * Math.sqrt((share * (1 - share)) / count);
      assert.ok(Math.abs(mean - value) < bound, `${value}: mean ${mean}`);
      assert.ok(
        found.every((x) => Math.abs(x - value) < unit),
        'nothing goes beyond the neighbours',
      );
    }
  } finally {
    device.close();
  }
});

const count = 512;
const numSteps = 600;
const betas = { beta1: 0.9, beta2: 0.999 };
const options = { learningRate: 1e-3, eps: 1e-8, weightDecay: 0, ...betas };
/** Large for a while, then small: v has to forget. */
const gradientAt = (step: number) => (step <= 50 ? 1 : 2 ** -6) * Math.cos(step);

/** v and parameter of one element by the definition, after all steps; `store`: what is kept of a moment. */
function trainByDefinition(store: (value: number) => number) {
  const state = { parameter: new Float64Array(1), m: new Float64Array(1), v: new Float64Array(1) };
  for (let step = 1; step <= numSteps; step++) {
    adamwReference(state, Float64Array.of(gradientAt(step)), { ...options, step });
    state.m[0] = store(state.m[0]!);
    state.v[0] = store(state.v[0]!);
  }
  return { parameter: state.parameter[0]!, v: state.v[0]! };
}

function toNearest(value: number): number {
  const [bits] = new Uint32Array(Float32Array.of(value).buffer);
  return new Float32Array(Uint32Array.of(((bits! + 0x8000) & 0xffff_0000) >>> 0).buffer)[0]!;
}

/** By how much parameter or v is off, as a part of what f64 has: the larger. */
function courseError(found: { readonly parameter: number; readonly v: number }): number {
  const exact = trainByDefinition((value) => value);
  return Math.max(Math.abs(found.v / exact.v - 1), Math.abs(found.parameter / exact.parameter - 1));
}

test('moments in bf16 ~> over hundreds of steps with a beta2 of 0.999 what f64 has, which rounding to the nearest has not', async () => {
  const device = openCpuDevice({ poison: true });
  try {
    const [parameter, m, v] = [
      zeros(device, [count]),
      zeros(device, [count], 'bf16'),
      zeros(device, [count], 'bf16'),
    ];
    const [gradient, clip] = [zeros(device, [count]), fromArray(device, [1, 1, 1], [3], 'f64')];
    for (let step = 1; step <= numSteps; step++) {
      fill(gradient, gradientAt(step));
      adamw({ parameter, gradient, m, v, clip }, { ...options, step, rounding });
    }
    const mean = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / count;
    const means = { parameter: mean(await parameter.readNumbers()), v: mean(await v.readNumbers()) };
    assert.ok(courseError(means) < 0.01, `off by ${courseError(means)}`);
  } finally {
    device.close();
  }
  assert.ok(courseError(trainByDefinition(toNearest)) > 0.5);
});

test('moments in bf16 ~> without random numbers, or of parameters in f64, are refused', () => {
  const device = openCpuDevice();
  try {
    for (const [dtype, given, message] of [
      ['f32', undefined, /E-ARGUMENT.*no random numbers/],
      ['f64', rounding, /those of f32 parameters/],
    ] as const) {
      const [parameter, gradient] = [zeros(device, [4], dtype), zeros(device, [4], dtype)];
      const [m, v] = [zeros(device, [4], 'bf16'), zeros(device, [4], 'bf16')];
      const clip = fromArray(device, [1, 1, 1], [3], 'f64');
      const step = { ...options, step: 1, rounding: given };
      assert.throws(() => adamw({ parameter, gradient, m, v, clip }, step), message);
    }
  } finally {
    device.close();
  }
});

test.run();
