import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { empty, fromArray } from '../../tensor.js';
import { checkOp, randomNormal } from '../../testing/index.js';
import { addAlong, mulAlong, sumHeads } from './index.js';
import { alongChecks, alongShapes, headsChecks, subCheck } from './problem.js';
import { mulAlongReference } from './reference.js';

for (const [shape, other, axis] of [
  ...alongShapes,
  [[3, 70, 5, 17], [3, 70, 5], 0],
  [[2, 65, 3, 19], [65, 3], 1],
  [[130, 100], [100], 1],
] as const) {
  for (const check of alongChecks(shape, other, axis))
    test(`${check.name} [${shape}] with [${other}] at ${axis}`, () => checkOp(check));
}

test('mul-along, only one side wants a gradient', async () => {
  const [a, b] = [randomNormal(70 * 9, 1), randomNormal(9, 2)];
  await checkOp({
    name: 'a only',
    inputs: { a: { values: a, shape: [70, 9] } },
    op: (tensors, device) => [mulAlong({ a: tensors.a, b: fromArray(device, b, [9], tensors.a.dtype) }, 1)],
    reference: (values) => [mulAlongReference(values.a, b, 1)],
  });
  await checkOp({
    name: 'b only',
    inputs: { b: { values: b, shape: [9] } },
    op: (tensors, device) => [
      mulAlong({ a: fromArray(device, a, [70, 9], tensors.b.dtype), b: tensors.b }, 1),
    ],
    reference: (values) => [mulAlongReference(a, values.b, 1)],
  });
});

test('sub', () => checkOp(subCheck));

for (const [shape, times] of [
  [[1, 1], 1],
  [[2, 7, 3, 5], 4],
  [[70, 2, 33], 3],
  [[9, 1], 67],
] as const) {
  for (const check of headsChecks(shape, times))
    test(`${check.name} [${shape}] × ${times}`, () => checkOp(check));
}

test('sum-heads refuses heads that it cannot divide', () => {
  const device = openCpuDevice();
  assert.throws(() => sumHeads(empty(device, [2, 5, 3]), 2), /E-SHAPE.*sum-heads/s);
  device.close();
});

test('the gradient of b has the same bits for every number of threads', async () => {
  const [a, b] = [randomNormal(3000 * 130, 1), randomNormal(130, 2)];
  const results: Float64Array[] = [];
  for (const threads of [1, 2, 3]) {
    const device = openCpuDevice({ threads });
    const [x, weight] = [fromArray(device, a, [3000, 130]), fromArray(device, b, [130])];
    weight.requiresGrad = true;
    weight.gradient = fromArray(device, new Float64Array(130), [130]);
    const { result, tape } = device.record(() => mulAlong({ a: x, b: weight }, 1));
    tape.backward([result], [x]);
    results.push(await weight.gradient.readNumbers());
    device.close();
  }
  assert.equal(results[1], results[0]);
  assert.equal(results[2], results[0]);
});

test('dims that are not those of a are refused', () => {
  const device = openCpuDevice();
  const [a, b] = [empty(device, [2, 3, 4]), empty(device, [3])];
  assert.throws(() => mulAlong({ a, b }, 2), /E-SHAPE.*mul-along.*\[3\].*from 2.*\[2, 3, 4\]/s);
  assert.throws(() => mulAlong({ a, b }, -4), /E-SHAPE/);
  assert.throws(() => addAlong({ a, b }, 3), /E-SHAPE/);
  device.close();
});

test.run();
