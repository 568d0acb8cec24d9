import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Device, openCpuDevice } from '../device.js';
import { add } from '../ops/add/index.js';
import { linear } from '../ops/linear/index.js';
import { mul, scale } from '../ops/pointwise/index.js';
import { residualNorm, rmsNorm } from '../ops/rms-norm/index.js';
import { fromArray, type Tensor, zeros } from '../tensor.js';
import { randomNormal } from '../testing/index.js';
import { defineOp } from './define-op.js';
import { reshape } from './reshape.js';
import type { Tape } from './tape.js';

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

/** 2 x, whose backward rule can write it again: how often each way was taken. */
function remade() {
  const runs = { forward: 0, backward: 0 };
  const op = defineOp<{ x: Tensor }>({
    name: 'remade',
    isCheap: true,
    comesWith: 'gradients',
    forward(call, { x }) {
      runs.forward++;
      const output = call.empty(x.shape, x.dtype);
      call.native.affine(call.stream, 2, 0, x.id, output.id);
      return { output, save: { x } };
    },
    backward(call, { x }, dy) {
      const dx = scale(dy, 2);
      if (call.remade !== null) {
        runs.backward++;
        call.native.affine(call.stream, 2, 0, x!.id, call.remade.id);
      }
      return { x: dx };
    },
  });
  return { runs, double: (x: Tensor) => op({ x }, {}) };
}

/** Gradients of x, v and w of two readers of 2 x, and how it was computed. */
async function runReaders(
  remakes: boolean,
  readers: (y: Tensor, v: Tensor, w: Tensor) => Tensor,
  freeze: (w: Tensor) => void = () => undefined,
) {
  const found = { forward: 0, backward: 0, gradients: [] as number[][], leftBehind: 0, held: 0 };
  await withDevice(async (device) => {
    device.remakesCheapOutputs = remakes;
    const { runs, double } = remade();
    const [x, v, w] = [leaf(device, 1, [T, D]), leaf(device, 2, [8, D]), leaf(device, 3, [8, D])];
    freeze(w);
    const seed = fromArray(device, randomNormal(T * 8, 4), [T, 8], 'f64');
    const before = device.memory();
    const { result, tape } = device.record(() => device.scope(() => readers(double(x), v, w)));
    found.held = device.memory().inUseBytes - before.inUseBytes - result.bytes;
    const [dw] = tape.backward([result], [seed], w.gradient === null ? [w] : []);
    result.release();
    Object.assign(found, runs);
    const gradients = [x.gradient!, v.gradient!, dw ?? w.gradient!];
    found.gradients = await Promise.all(gradients.map(async (tensor) => [...(await tensor.read())]));
    dw?.release();
    found.leftBehind = device.memory().numTensors - before.numTensors;
  });
  return found;
}

const project = (x: Tensor, weight: Tensor) => linear({ x, weight, bias: null });
const readers: Readonly<Record<string, (y: Tensor, v: Tensor, w: Tensor) => Tensor>> = {
  'two projections': (y, v, w) => add({ a: project(y, v), b: project(y, w) }),
  'a projection of a view beside one of it': (y, v, w) =>
    add({ a: project(reshape(reshape(y, [2, T / 2, D]), [T, D]), v), b: project(y, w) }),
  'a projection beside an op that needs it at once': (y, v, w) =>
    add({ a: project(y, v), b: project(mul({ a: y, b: y }), w) }),
  'an op that needs it at once beside a projection': (y, v, w) =>
    add({ a: project(mul({ a: y, b: y }), v), b: project(y, w) }),
};

for (const [name, read] of Object.entries(readers)) {
  test(`an output that comes with gradients, read by ${name} ~> the same bits`, async () => {
    const [kept, again] = [await runReaders(false, read), await runReaders(true, read)];
    assert.equal(again.gradients, kept.gradients);
    const isWaitedFor = !name.includes('at once');
    assert.equal([kept.forward, kept.backward], [1, 0]);
    assert.equal([again.forward, again.backward], isWaitedFor ? [1, 1] : [2, 0]);
    assert.ok(again.held < kept.held);
    assert.equal([kept.leftBehind, again.leftBehind], [0, 0]);
  });
}

test('the gradient of a weight that is no parameter does not wait for what comes with gradients', async () => {
  const both = readers['two projections']!;
  const freeze = (w: Tensor) => {
    w.gradient = null;
  };
  const [kept, again] = [await runReaders(false, both, freeze), await runReaders(true, both, freeze)];
  assert.equal(again.gradients, kept.gradients);
  assert.equal([again.forward, again.backward], [2, 0]);
});

test('what waits for an output and for a scan runs once both are there', () =>
  withDevice(async (device) => {
    const { runs, double } = remade();
    const [x, w] = [leaf(device, 1, [T, D]), leaf(device, 2, [8, D])];
    const order: string[] = [];
    const { result, tape } = device.record(() =>
      device.scope(() => {
        const through = x.view(x.shape);
        tapeOf(device).record({
          name: 'scan',
          inputs: [x],
          outputs: [through],
          saved: [],
          flushes: true,
          backward: ([gradient]) => {
            order.push(`scan, ${runs.backward} written`);
            const before = device.memory().inUseBytes;
            tapeOf(device).flushDeferred();
            order.push(device.memory().inUseBytes < before ? 'flushed' : 'nothing to flush');
            return [gradient!];
          },
        });
        return project(double(through), w);
      }),
    );
    device.tape = tape;
    tape.backward([result], [fromArray(device, randomNormal(T * 8, 4), [T, 8], 'f64')]);
    device.tape = null;
    assert.equal(order, ['scan, 1 written', 'flushed']);
    assert.ok((await w.gradient!.read()).some((value) => value !== 0));
    assert.is(runs.forward, 1);
  }));

function tapeOf(device: Device): Tape {
  return device.tape!;
}

test('nothing waits beyond a point of the backward pass', () =>
  withDevice(async (device) => {
    const { runs, double } = remade();
    const [x, w] = [leaf(device, 1, [T, D]), leaf(device, 2, [8, D])];
    let atPoint: Promise<ArrayLike<number>> | null = null;
    const { result, tape } = device.record(() =>
      device.scope(() => {
        const y = double(x);
        tapeOf(device).notePoint(() => {
          atPoint = w.gradient!.read();
        });
        return project(y, w);
      }),
    );
    tape.backward([result], [fromArray(device, randomNormal(T * 8, 4), [T, 8], 'f64')]);
    assert.equal(await atPoint!, await w.gradient!.read());
    assert.ok((await w.gradient!.read()).some((value) => value !== 0));
    assert.equal(runs, { forward: 2, backward: 0 });
  }));

test('a tape that is cleared while something waits holds nothing', () =>
  withDevice(async (device) => {
    const { double } = remade();
    const [x, w] = [leaf(device, 1, [T, D]), leaf(device, 2, [8, D])];
    const fails = defineOp<{ x: Tensor }>({
      name: 'fails',
      forward: (call, { x }) => ({ output: call.empty(x.shape, x.dtype), save: {} }),
      backward() {
        throw new RangeError('on purpose');
      },
    });
    const seed = fromArray(device, randomNormal(T * 8, 4), [T, 8], 'f64');
    const before = device.memory().numTensors;
    const { result, tape } = device.record(() =>
      device.scope(() => {
        const y = double(x);
        // Visited after the projection, before the op that makes y.
        const other = fails({ x: y }, {});
        return add({ a: project(other, w), b: project(y, w) });
      }),
    );
    assert.throws(() => tape.backward([result], [seed]), /on purpose/);
    result.release();
    assert.is(device.memory().numTensors, before);
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
