import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Device, openCpuDevice } from '../device.js';
import { add } from '../ops/add/index.js';
import { linear } from '../ops/linear/index.js';
import { scale } from '../ops/pointwise/index.js';
import { residualNorm, rmsNorm } from '../ops/rms-norm/index.js';
import { fromArray, type Tensor, zeros } from '../tensor.js';
import { randomNormal } from '../testing/index.js';
import { defineOp } from './define-op.js';
import { reshape } from './reshape.js';

const [T, D] = [64, 32];
const bytes = T * D * 8;

async function withDevice(body: (device: Device) => Promise<void>): Promise<void> {
  const device = openCpuDevice({ poison: true });
  device.remakesCheapOutputs = true;
  try {
    await body(device);
  } finally {
    device.close();
  }
}

function leaf(device: Device, seed: number, shape: readonly number[]): Tensor {
  const tensor = fromArray(device, randomNormal(shape[0]! * shape[1]!, seed), shape, 'f64');
  tensor.requiresGrad = true;
  tensor.gradient = zeros(device, shape, 'f64');
  return tensor;
}

/** 2 x, which notes how often it is computed; `saves` its input or nothing. */
function counted(isCheap: boolean, saves = true) {
  const runs = { count: 0 };
  const op = defineOp<{ x: Tensor }>({
    name: 'counted',
    isCheap,
    forward(call, { x }) {
      runs.count++;
      const output = call.empty(x.shape, x.dtype);
      call.native.affine(call.stream, 2, 0, x.id, output.id);
      return { output, save: { x: saves ? x : null } };
    },
    backward: (_call, _saved, dy) => ({ x: scale(dy, 2) }),
  });
  return { runs, double: (x: Tensor) => op({ x }, {}) };
}

/** Two projections of 2 x, through a reshape; what the tape holds afterwards, and all gradients. */
async function run(isCheap: boolean) {
  const found = { held: 0, runs: 0, gradients: [] as number[][], leftBehind: 0 };
  await withDevice(async (device) => {
    const { runs, double } = counted(isCheap);
    const [x, v, w] = [leaf(device, 1, [T, D]), leaf(device, 2, [8, D]), leaf(device, 3, [8, D])];
    const seed = fromArray(device, randomNormal(T * 8, 4), [T, 8], 'f64');
    const before = device.memory();
    const { result, tape } = device.record(() =>
      device.scope(() => {
        const y = reshape(double(x), [T, D]);
        return add({
          a: linear({ x: y, weight: v, bias: null }),
          b: linear({ x: y, weight: w, bias: null }),
        });
      }),
    );
    found.held = device.memory().inUseBytes - before.inUseBytes - result.bytes;
    tape.backward([result], [seed]);
    found.runs = runs.count;
    result.release();
    found.leftBehind = device.memory().numTensors - before.numTensors;
    found.gradients = await Promise.all([x, v, w].map(async ({ gradient }) => [...(await gradient!.read())]));
  });
  return found;
}

test('a cheap output is let go of and made again, once for all its readers, with the same bits', async () => {
  const [kept, made] = [await run(false), await run(true)];
  assert.is(kept.runs, 1);
  assert.is(made.runs, 2);
  assert.is(kept.held, bytes);
  assert.is(made.held, 0);
  assert.equal(made.gradients, kept.gradients);
  assert.is(made.leftBehind, 0);
  assert.is(kept.leftBehind, 0);
});

test('an output whose input is gone is kept', () =>
  withDevice(async (device) => {
    const { runs, double } = counted(true, false);
    const [x, w] = [leaf(device, 1, [T, D]), leaf(device, 2, [8, D])];
    const { result, tape } = device.record(() =>
      device.scope(() => {
        const y = device.scope(() => double(scale(x, 3)));
        return linear({ x: y, weight: w, bias: null });
      }),
    );
    tape.backward([result], [fromArray(device, new Float64Array(T * 8).fill(1), [T, 8], 'f64')]);
    assert.is(runs.count, 1);
    const expected = new Float64Array(D);
    const values = randomNormal(T * D, 1);
    for (const [i, value] of values.entries()) expected[i % D]! += 6 * value;
    const found = await w.gradient!.read();
    for (let d = 0; d < D; d++) assert.ok(Math.abs(found[d]! - expected[d]!) < 1e-12 * T);
  }));

test('a cheap output of a cheap output: both are made, neither stays', () =>
  withDevice(async (device) => {
    const { runs, double } = counted(true);
    const [x, w] = [leaf(device, 1, [T, D]), leaf(device, 2, [8, D])];
    const gain = fromArray(device, new Float64Array(D).fill(1), [D], 'f64');
    const before = device.memory();
    const { result, tape } = device.record(() =>
      device.scope(() => linear({ x: rmsNorm({ x: double(x), weight: gain }), weight: w, bias: null })),
    );
    // Of the norm: its statistics.
    assert.is(device.memory().inUseBytes - before.inUseBytes - result.bytes, T * 8);
    tape.backward([result], [fromArray(device, new Float64Array(T * 8).fill(1), [T, 8], 'f64')]);
    assert.is(runs.count, 2);
    result.release();
    assert.is(device.memory().inUseBytes, before.inUseBytes + T * 8 * 8);
  }));

test('of an op with two outputs one is kept, and the other made from it', () =>
  withDevice(async (device) => {
    const [x, branch, w] = [leaf(device, 1, [T, D]), leaf(device, 2, [T, D]), leaf(device, 3, [D, D])];
    const gain = fromArray(device, new Float64Array(D).fill(1), [D], 'f64');
    const seed = fromArray(device, randomNormal(T * D, 4), [T, D], 'f64');
    const before = device.memory();
    const gradientsOf = async (norm: () => { stream: Tensor; normed: Tensor }) => {
      for (const { gradient } of [x, branch, w]) gradient!.write(new Float64Array(gradient!.size));
      const { result, tape } = device.record(() =>
        device.scope(() => {
          const { stream, normed } = norm();
          return add({ a: stream, b: linear({ x: normed, weight: w, bias: null }) });
        }),
      );
      const held = device.memory().inUseBytes - before.inUseBytes - result.bytes;
      tape.backward([result], [seed]);
      result.release();
      assert.is(device.memory().numTensors, before.numTensors);
      const gradients = await Promise.all([x, branch, w].map(({ gradient }) => gradient!.readNumbers()));
      return { held, gradients: gradients.flatMap((values) => [...values]) };
    };
    const fused = await gradientsOf(() => residualNorm({ x, branch, weight: gain }));
    const apart = await gradientsOf(() => {
      const stream = add({ a: x, b: branch });
      return { stream, normed: rmsNorm({ x: stream, weight: gain }) };
    });
    // The stream, and the norm's statistics.
    assert.is(fused.held, bytes + T * 8);
    fused.gradients.forEach((value, i) => {
      assert.ok(Math.abs(value - apart.gradients[i]!) < 1e-12);
    });
  }));

test('what no gradient reaches is not made', () =>
  withDevice(async (device) => {
    const { runs, double } = counted(true);
    const [x, w] = [leaf(device, 1, [T, D]), leaf(device, 2, [8, D])];
    const { result, tape } = device.record(() => {
      linear({ x: double(x), weight: w, bias: null });
      return scale(x, 5);
    });
    tape.backward([result], [fromArray(device, new Float64Array(T * D).fill(1), [T, D], 'f64')]);
    assert.is(runs.count, 1);
    assert.ok((await x.gradient!.read()).every((value) => value === 5));
  }));

test('a tape that is cleared holds nothing', () =>
  withDevice(async (device) => {
    const { double } = counted(true);
    const [x, w] = [leaf(device, 1, [T, D]), leaf(device, 2, [8, D])];
    const before = device.memory().numTensors;
    const { result, tape } = device.record(() =>
      device.scope(() => linear({ x: double(x), weight: w, bias: null })),
    );
    tape.clear();
    result.release();
    assert.is(device.memory().numTensors, before);
  }));

test.run();
