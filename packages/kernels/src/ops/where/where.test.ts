import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { checkOp, randomNormal } from '../../testing/index.js';
import { where } from './index.js';
import { whereReference } from './reference.js';

const flags = [0, 1, 1, 0, 1, 0];

for (const rest of [[], [1], [3], [2, 17]]) {
  const shape = [2, 3, ...rest];
  const size = shape.reduce((product, dim) => product * dim, 1);
  const input = (seed: number) => ({ values: randomNormal(size, seed), shape });

  test(`where ~> [${shape}], two sides`, () =>
    checkOp({
      name: 'where',
      inputs: { a: input(1), b: input(2) },
      op: ({ a, b }, device) => [where({ condition: fromArray(device, flags, [2, 3], 'i32'), a, b })],
      reference: ({ a, b }) => [whereReference(flags, a, b)],
    }));

  test(`where ~> [${shape}], one side is zeros`, () =>
    checkOp({
      name: 'where',
      inputs: { x: input(1) },
      op: ({ x }, device) => {
        const condition = fromArray(device, flags, [2, 3], 'i32');
        return [where({ condition, a: x, b: null }), where({ condition, a: null, b: x })];
      },
      reference: ({ x }) => [whereReference(flags, x, null), whereReference(flags, null, x)],
    }));
}

test('where ~> NaN that is not selected goes nowhere', async () => {
  const device = openCpuDevice({ poison: true });
  const x = fromArray(device, [Number.NaN, 2], [2]);
  x.requiresGrad = true;
  x.gradient = fromArray(device, [0, 0], [2]);
  const condition = fromArray(device, [1, 0], [2], 'i32');
  const { result, tape } = device.record(() => where({ condition, a: null, b: x }));
  tape.backward([result], [fromArray(device, [Number.NaN, 5], [2])]);
  assert.equal([...(await result.read())], [0, 2]);
  assert.equal([...(await x.gradient.read())], [0, 5]);
  device.close();
});

test('where ~> conditions that fit no rows are refused', () => {
  const device = openCpuDevice();
  const condition = fromArray(device, [1, 0], [2], 'i32');
  assert.throws(() => where({ condition, a: fromArray(device, [1, 2, 3], [3]), b: null }), /E-SHAPE/);
  assert.throws(() => where({ condition, a: null, b: null }), /E-SHAPE/);
  device.close();
});

test.run();
