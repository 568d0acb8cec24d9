import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Device, openCpuDevice, openShapeDevice } from '../device.js';
import { LongscanError } from '../errors.js';
import { add } from '../ops/add/index.js';
import { scale } from '../ops/pointwise/index.js';
import { empty, fromArray, type Tensor } from '../tensor.js';
import { defineOp } from './define-op.js';
import { reshape } from './reshape.js';

// Backward rules that add to a gradient by themselves, and the gradients that they must not add to.

/** How often the rule of `times` was told to add, and how often to overwrite. */
const calls = { added: 0, overwritten: 0 };

/** factor · x, whose rule adds in place where it may. */
const timesOp = defineOp<{ x: Tensor }, { factor: number }>({
  name: 'times',
  forward(call, { x }, { factor }) {
    const output = call.empty(x.shape, x.dtype);
    call.native.affine(call.stream, factor, 0, x.id, output.id);
    return { output, save: {} };
  },
  backward: (call, _saved, dy, { factor }) => ({
    x: call.inputGradient('x', dy.shape, (target, accumulate) => {
      calls[accumulate ? 'added' : 'overwritten']++;
      if (accumulate) call.native.axpy(call.stream, factor, dy.id, target.id);
      else call.native.affine(call.stream, factor, 0, dy.id, target.id);
    }),
  }),
});
const times = (x: Tensor, factor: number) => timesOp({ x }, { factor });

/** The gradient of Σ `body`(x) at a leaf x of two elements, and the calls of the rule. */
async function gradientOf(
  body: (x: Tensor, device: Device) => Tensor,
): Promise<{ gradient: number[]; added: number; overwritten: number }> {
  const device = openCpuDevice({ poison: true });
  try {
    Object.assign(calls, { added: 0, overwritten: 0 });
    const leaf = fromArray(device, [1, 2], [2]);
    leaf.requiresGrad = true;
    const { result, tape } = device.record(() => device.scope(() => body(scale(leaf, 1), device)));
    const seed = fromArray(device, [1, 1], result.shape);
    const before = device.memory().numTensors;
    const [gradient] = tape.backward([result], [seed], [leaf]);
    const values = [...(await gradient!.read())];
    gradient!.release();
    assert.ok(device.memory().numTensors <= before, 'nothing is left behind');
    return { gradient: values, ...calls };
  } finally {
    device.close();
  }
}

test('rules of one tensor add to what the first of them left', async () => {
  const found = await gradientOf((x) => add({ a: times(x, 2), b: add({ a: times(x, 3), b: times(x, 5) }) }));
  assert.equal(found, { gradient: [10, 10], added: 2, overwritten: 1 });
});

test('other ops add to it too, before and after', async () => {
  const found = await gradientOf((x) => {
    const first = add({ a: scale(x, 7), b: times(x, 2) });
    return add({ a: first, b: add({ a: times(x, 3), b: scale(x, 11) }) });
  });
  // In reverse: 11 is handed over by an op that says nothing of it, 3 cannot be added to that, 2 to their sum can.
  assert.equal(found, { gradient: [23, 23], added: 1, overwritten: 1 });
});

test('a gradient that two tensors share is left alone', async () => {
  const found = await gradientOf((x) => {
    const [left, right] = [scale(x, 1), scale(x, 1)];
    // Both receive the gradient of their sum, the very same tensor; left gets more.
    return add({ a: times(left, 2), b: add({ a: left, b: right }) });
  });
  assert.equal(found, { gradient: [4, 4], added: 0, overwritten: 1 });
});

test('what was handed on is no longer one to add to', async () => {
  const found = await gradientOf((x) => {
    const middle = scale(x, 1);
    const sum = add({ a: middle, b: x }); // hands its gradient, which `times` made, to both
    return add({ a: times(sum, 2), b: times(middle, 3) });
  });
  assert.equal(found, { gradient: [2 + 2 + 3, 2 + 2 + 3], added: 0, overwritten: 2 });
});

test('nor is a view of it', async () => {
  const found = await gradientOf((x) => {
    const row = reshape(x, [1, 2]);
    const sum = add({ a: row, b: times(row, 4) });
    return add({ a: times(sum, 2), b: times(row, 3) });
  });
  assert.equal(found.gradient, [2 + 8 + 3, 2 + 8 + 3]);
});

test('one tensor as both inputs of what follows', async () => {
  const found = await gradientOf((x) => {
    const y = times(x, 2);
    return add({ a: y, b: y });
  });
  assert.equal(found, { gradient: [4, 4], added: 0, overwritten: 1 });
});

test('a gradient of another type than its tensor is a bug that is told', () => {
  const device = openShapeDevice();
  const wrong = defineOp<{ x: Tensor }>({
    name: 'wrong',
    forward: (call, { x }) => ({ output: call.empty(x.shape, 'f32'), save: {} }),
    backward: (call, _saved, dy) => ({ x: call.empty(dy.shape, 'f32') }),
  });
  const x = empty(device, [2], 'bf16');
  x.requiresGrad = true;
  const { result, tape } = device.record(() => wrong({ x }, {}));
  assert.throws(
    () => tape.backward([result], [empty(device, [2])], [x]),
    (error: unknown) => error instanceof LongscanError && /wrong, backward.*f32.*bf16/.test(error.message),
  );
});

test.run();
