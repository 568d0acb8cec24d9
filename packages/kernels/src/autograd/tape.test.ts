import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Device, openCpuDevice } from '../device.js';
import { add } from '../ops/add/index.js';
import { linear } from '../ops/linear/index.js';
import { fill, mul, scale } from '../ops/pointwise/index.js';
import { fromArray, type Tensor } from '../tensor.js';
import { defineOp } from './define-op.js';

async function withDevice(body: (device: Device) => Promise<void>): Promise<void> {
  const device = openCpuDevice({ poison: true });
  try {
    await body(device);
  } finally {
    device.close();
  }
}

function parameter(device: Device, values: number[], shape = [values.length]): Tensor {
  const tensor = fromArray(device, values, shape);
  tensor.requiresGrad = true;
  tensor.gradient = fromArray(device, new Float32Array(values.length), shape);
  return tensor;
}

function ones(tensor: Tensor): Tensor {
  return fromArray(tensor.device, new Float32Array(tensor.size).fill(1), tensor.shape);
}

test('gradients of a tensor that several ops read are added', () =>
  withDevice(async (device) => {
    const x = parameter(device, [2, 3]);
    const { result, tape } = device.record(() => {
      const y = scale(x, 1);
      return add({ a: mul({ a: y, b: y }), b: add({ a: y, b: scale(y, 10) }) });
    });
    tape.backward([result], [ones(result)]);
    assert.equal([...(await x.gradient!.read())], [2 * 2 + 11, 2 * 3 + 11]);
  }));

test('one tensor handed to two inputs by the same gradient object is not added twice in place', () =>
  withDevice(async (device) => {
    const x = parameter(device, [5]);
    const { result, tape } = device.record(() => {
      const a = scale(x, 1);
      const b = scale(x, 1);
      const sum = add({ a, b });
      return add({ a: sum, b: a });
    });
    tape.backward([result], [ones(result)]);
    assert.equal([...(await x.gradient!.read())], [3]);
  }));

test('a backward pass that fails gives back what it held', () =>
  withDevice(async (device) => {
    const failing = defineOp<{ x: Tensor }>({
      name: 'failing',
      forward: (call, { x }) => ({ output: call.empty(x.shape), save: { x } }),
      backward() {
        throw new Error('no gradient');
      },
    });
    const x = parameter(device, [2, 3]);
    const { numTensors } = device.memory();
    device.scope(() => {
      const { result, tape } = device.record(() =>
        device.scope(() => {
          const y = scale(x, 1);
          return mul({ a: failing({ x: mul({ a: y, b: y }) }, {}), b: y });
        }),
      );
      assert.throws(() => tape.backward([result], [ones(result)]), /no gradient/);
    });
    assert.is(device.memory().numTensors, numTensors);
  }));

test('work put off that fails ~> what it and the rest would have read is given back', () =>
  withDevice(async (device) => {
    const { numTensors } = device.memory();
    const [first, second] = [1, 2].map((value) => fromArray(device, [value], [1])) as [Tensor, Tensor];
    const waiting = {
      name: 'waiting',
      inputs: [],
      outputs: [],
      saved: [],
      flushes: true,
      backward: () => [],
    };
    const { tape } = device.record(() => device.tape!.record(waiting));
    tape.defer([first], () => {
      throw new Error('no room');
    });
    tape.defer([second], () => {});
    tape.deferByUnit(first, [second], () => {});
    assert.throws(() => tape.backward([], []), /no room/);
    first.release();
    second.release();
    assert.is(device.memory().numTensors, numTensors);
  }));

test('several outputs, each with its own seed', () =>
  withDevice(async (device) => {
    const x = parameter(device, [1, 2]);
    const { result, tape } = device.record(() => [scale(x, 2), scale(x, 3), x]);
    const seeds = [10, 100, 1000].map((value) => fromArray(device, [value, value], [2]));
    tape.backward(result, seeds);
    assert.equal([...(await x.gradient!.read())], [1320, 1320]);
  }));

test('parameter gradients accumulate over backward passes', () =>
  withDevice(async (device) => {
    const weight = parameter(device, [1, 2], [1, 2]);
    const x = fromArray(device, [3, 4], [1, 2]);
    for (let pass = 1; pass <= 3; pass++) {
      const { result, tape } = device.record(() => linear({ x, weight, bias: null }));
      tape.backward([result], [ones(result)]);
      assert.equal([...(await weight.gradient!.read())], [3 * pass, 4 * pass]);
    }
  }));

test('a shared weight gets the sum of its uses', () =>
  withDevice(async (device) => {
    const weight = parameter(device, [1, 1, 0, 1], [2, 2]);
    const x = fromArray(device, [1, 2], [1, 2]);
    const { result, tape } = device.record(() =>
      linear({ x: linear({ x, weight, bias: null }), weight, bias: null }),
    );
    assert.equal([...(await result.read())], [5, 2]);
    tape.backward([result], [ones(result)]);
    // d/dW of 1ᵀ W W x, by hand.
    assert.equal([...(await weight.gradient!.read())], [3 + 1, 2 + 2, 3 + 2, 2 + 4]);
  }));

test('without a tape, and where no gradient is wanted, nothing is recorded or kept', () =>
  withDevice(async (device) => {
    const x = parameter(device, [1]);
    const plain = fromArray(device, [1], [1]);
    const before = device.memory().numTensors;
    const free = device.scope(() => scale(mul({ a: x, b: x }), 2));
    assert.not(free.requiresGrad);
    assert.is(device.memory().numTensors, before + 1);
    const { result, tape } = device.record(() => device.scope(() => scale(mul({ a: plain, b: plain }), 2)));
    assert.not(result.requiresGrad);
    assert.is(device.memory().numTensors, before + 2);
    tape.backward([result], [ones(result)]);
  }));

test('saved tensors outlive their scope and are freed by backward, or by clear', () =>
  withDevice(async (device) => {
    const x = parameter(device, [3]);
    const before = device.memory().numTensors;
    const forward = () => device.record(() => device.scope(() => mul({ a: scale(x, 2), b: scale(x, 3) })));
    const first = forward();
    assert.is(device.memory().numTensors, before + 3);
    device.scope(() => first.tape.backward([first.result], [ones(first.result)]));
    first.result.release();
    assert.is(device.memory().numTensors, before);
    assert.equal([...(await x.gradient!.read())], [36]);
    const second = forward();
    second.tape.clear();
    second.result.release();
    assert.is(device.memory().numTensors, before);
  }));

test('gradients of leaves that have no place of their own are returned, and belong to the scope', () =>
  withDevice(async (device) => {
    const leaf = (value: number) => {
      const tensor = fromArray(device, [value], [1]);
      tensor.requiresGrad = true;
      return tensor;
    };
    const [a, b, unused] = [leaf(3), leaf(5), leaf(7)];
    const { result, tape } = device.record(() => device.scope(() => mul({ a, b: mul({ a, b }) })));
    const before = device.memory().numTensors;
    const found = device.scope(() => {
      const [da, db, none] = tape.backward([result], [ones(result)], [a, b, unused]);
      assert.is(none, null);
      return [da!.read(), db!.read()];
    });
    assert.equal(
      (await Promise.all(found)).map(([value]) => value),
      [2 * 3 * 5, 9],
    );
    assert.ok(device.memory().numTensors <= before, 'nothing is left behind');
  }));

test('a backward rule may record and differentiate on a tape of its own', () =>
  withDevice(async (device) => {
    const weight = parameter(device, [2]);
    const again = defineOp<{ x: Tensor }>({
      name: 'again',
      forward: (_call, { x }) => ({
        output: device.withoutTape(() => mul({ a: mul({ a: x, b: x }), b: weight })),
        save: { x },
      }),
      backward(_call, { x }, gradient) {
        const leaf = x!.view(x!.shape);
        leaf.requiresGrad = true;
        const inner = device.record(() =>
          device.scope(() => mul({ a: mul({ a: leaf, b: leaf }), b: weight })),
        );
        const [dx] = inner.tape.backward([inner.result], [gradient], [leaf]);
        return { x: dx! };
      },
    });
    const x = parameter(device, [3]);
    const { result, tape } = device.record(() =>
      device.scope(() => scale(again({ x: scale(x, 1) }, {}), 10)),
    );
    assert.is(device.tape, null);
    tape.backward([result], [ones(result)]);
    assert.equal([...(await x.gradient!.read())], [10 * 2 * 3 * 2]);
    assert.equal([...(await weight.gradient!.read())], [10 * 9]);
  }));

test('an op whose output nothing reads is passed over', () =>
  withDevice(async (device) => {
    const x = parameter(device, [4]);
    const { result, tape } = device.record(() => {
      const unused = scale(x, Number.NaN);
      fill(unused, 0);
      return scale(x, 2);
    });
    tape.backward([result], [ones(result)]);
    assert.equal([...(await x.gradient!.read())], [2]);
  }));

test.run();
