import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Device, openCpuDevice } from './device.js';
import { add } from './ops/add/index.js';
import { crossEntropy } from './ops/cross-entropy/index.js';
import { embedding } from './ops/embedding/index.js';
import { linear } from './ops/linear/index.js';
import { copy, fill } from './ops/pointwise/index.js';
import { rmsNorm } from './ops/rms-norm/index.js';
import { swiglu } from './ops/swiglu/index.js';
import { type DType, empty, fromArray, type Tensor } from './tensor.js';
import { randomNormal } from './testing/index.js';

async function withDevice(
  body: (device: Device) => void | Promise<void>,
  options: { poison?: boolean } = {},
): Promise<void> {
  const device = openCpuDevice({ poison: false, ...options });
  try {
    await body(device);
  } finally {
    device.close();
  }
}

test('values survive the way to the device and back, in every dtype', () =>
  withDevice(async (device) => {
    for (const dtype of ['f32', 'f64', 'bf16', 'i32'] as DType[]) {
      const values = dtype === 'bf16' ? [0x3f80, 0xc000, 0x7fc0] : [1, -2, 3];
      const tensor = fromArray(device, values, [3, 1], dtype);
      assert.equal([...(await tensor.read())], values);
    }
    assert.equal([...(await fromArray(device, [0x3f80, 0xc000], [2], 'bf16').readNumbers())], [1, -2]);
  }));

test('readBlocking waits for the work before it, and throws the first failure', () =>
  withDevice((device) => {
    const x = fromArray(device, [1, 2], [2], 'f64');
    let sum = x;
    for (let i = 0; i < 100; i++) sum = add({ a: sum, b: x });
    assert.equal([...sum.readBlocking()], [101, 202]);
    const tokens = fromArray(device, [7], [1], 'i32');
    const row = embedding({ tokens, table: fromArray(device, [0, 0], [2, 1]) });
    assert.throws(() => row.readBlocking(), /E-DATA-VOCAB/);
  }));

test('write copies: the array may change at once', () =>
  withDevice(async (device) => {
    const openGate = device.compute.closeGate();
    const values = Float32Array.of(1, 2);
    const tensor = empty(device, [2]);
    tensor.write(values);
    values.fill(9);
    openGate();
    assert.equal([...(await tensor.read())], [1, 2]);
  }));

test('a view shares memory and keeps it alive', () =>
  withDevice(async (device) => {
    const base = fromArray(device, [0, 1, 2, 3, 4, 5], [2, 3]);
    const row = base.view([3], 3);
    base.release();
    fill(empty(device, [2, 3]), -1);
    assert.equal([...(await row.read())], [3, 4, 5]);
    const { inUseBytes } = device.memory();
    row.release();
    assert.ok(device.memory().inUseBytes < inUseBytes);
    const whole = fromArray(device, [1, 2], [2]);
    assert.throws(() => whole.view([3]), /reaches past/);
    assert.throws(() => whole.view([1], 2), /reaches past/);
  }));

test('fresh memory is NaN under poison, also when it is reused', () =>
  withDevice(
    async (device) => {
      for (let round = 0; round < 3; round++) {
        const tensor = empty(device, [100]);
        assert.ok((await tensor.readNumbers()).every(Number.isNaN), `round ${round}`);
        fill(tensor, 1);
        tensor.release();
      }
    },
    { poison: true },
  ));

test('a released tensor is refused, even after its slot has a new tenant', () =>
  withDevice((device) => {
    const old = fromArray(device, [1], [1]);
    old.release();
    assert.throws(() => add({ a: old, b: old }), /E-TENSOR/);
    const tenant = fromArray(device, [2], [1]);
    assert.throws(() => add({ a: old, b: tenant }), /E-TENSOR/);
    assert.throws(() => device.native.tensorRelease(old.id), /E-TENSOR/);
    for (const id of [0, -1, 0.5, 1e300, Number.NaN]) {
      assert.throws(() => device.native.tensorRelease(id), /E-TENSOR/, `id ${id}`);
    }
    tenant.release();
  }));

test('memory is reused on the same stream without waiting', () =>
  withDevice(async (device) => {
    fill(empty(device, [50_000]), 0);
    const openGate = device.compute.closeGate();
    const { reservedBytes } = device.memory();
    for (let i = 0; i < 20; i++) {
      const tensor = empty(device, [70_000]);
      fill(tensor, i);
      tensor.release();
    }
    const grown = device.memory().reservedBytes - reservedBytes;
    assert.ok(grown < 2 * 70_000 * 4, `${grown} bytes for 20 tensors of 280,000, one after another`);
    openGate();
    await device.compute.sync();
  }));

test('memory that another stream still reads is not reused', () =>
  withDevice(async (device) => {
    const second = device.createStream('second');
    const size = 1000;
    const target = fromArray(device, new Float32Array(size), [size]);
    const source = fromArray(device, new Float32Array(size).fill(3), [size]);
    await device.compute.sync();
    const openGate = second.closeGate();
    device.native.copy(second.id, source.id, target.id);
    source.release();
    const others = Array.from({ length: 4 }, () => empty(device, [size]));
    for (const other of others) fill(other, 7);
    await device.compute.sync();
    openGate();
    assert.ok((await target.read(second)).every((value) => value === 3));
    // And once the second stream is done, it is.
    const { reservedBytes } = device.memory();
    fill(empty(device, [size]), 8);
    assert.is(device.memory().reservedBytes, reservedBytes);
  }));

test('a scope frees what it does not return', () =>
  withDevice(async (device) => {
    const before = device.memory().numTensors;
    const kept = device.scope(() => {
      const a = fromArray(device, [1], [1]);
      const b = add({ a, b: a });
      const inner = device.scope(() => [add({ a: b, b }), add({ a, b })] as const);
      assert.is(device.memory().numTensors, before + 4);
      return { value: inner[0], list: [b] };
    });
    assert.is(device.memory().numTensors, before + 2);
    assert.equal([...(await kept.value.read())], [4]);
    assert.equal([...(await kept.list[0]!.read())], [2]);
  }));

test('a tensor of a scope can be let go of before the scope ends', () =>
  withDevice(async (device) => {
    const before = device.memory().numTensors;
    const outside = fromArray(device, [1], [1]);
    device.scope(() => {
      const [a, kept, other] = [1, 2, 3].map((x) => fromArray(device, [x], [1])) as [Tensor, Tensor, Tensor];
      kept.retain();
      device.letGo(a);
      device.letGo(kept);
      assert.ok(a.isReleased && !kept.isReleased);
      // Another scope's lives as long as that.
      device.scope(() => device.letGo(other));
      device.letGo(outside);
      assert.ok(!other.isReleased && !outside.isReleased);
      kept.release();
    });
    device.letGo(outside);
    assert.is(device.memory().numTensors, before);
  }));

test('a scope that throws frees everything and hands the error on', () =>
  withDevice((device) => {
    const before = device.memory();
    assert.throws(
      () =>
        device.scope(() => {
          device.scope(() => fromArray(device, [1], [1]));
          throw new Error('from inside');
        }),
      /from inside/,
    );
    assert.is(device.memory().numTensors, before.numTensors);
    assert.is(device.memory().inUseBytes, before.inUseBytes);
    // The scope is gone: what is made now belongs to the caller.
    const after = fromArray(device, [1], [1]);
    assert.not(after.isReleased);
    after.release();
  }));

test('a scope cannot be asynchronous', () =>
  withDevice((device) => {
    const before = device.memory().numTensors;
    assert.throws(
      () =>
        device.scope(async () => {
          fromArray(device, [1], [1]);
        }),
      (error: unknown) => error instanceof TypeError,
    );
    assert.is(device.memory().numTensors, before);
  }));

test('shapes and sizes are checked before anything is enqueued', () =>
  withDevice((device) => {
    assert.throws(() => fromArray(device, [1, 2, 3], [2]), /E-SHAPE/);
    assert.throws(() => empty(device, [-1]), /E-ARGUMENT/);
    assert.throws(() => empty(device, [1, 1, 1, 1, 1, 1, 1]), /E-ARGUMENT/);
    const tensor = empty(device, [2]);
    assert.throws(() => tensor.write(Float32Array.of(1)), /4 bytes for a tensor of 8/);
    assert.throws(() => copy(tensor, empty(device, [2], 'f64')), /f32 and f64/);
    assert.throws(() => device.native.fill(tensor.id, tensor.id, 0), /not a stream/);
    assert.throws(() => (device.native.fill as (...args: number[]) => void)(1), /1 arguments, expected 3/);
  }));

test('200 training steps leak no tensor and no byte', () =>
  withDevice(async (device) => {
    const [vocab, dim, hidden, numTokens] = [11, 16, 24, 40];
    const parameter = (rows: number, cols: number, seed: number): Tensor => {
      const tensor = fromArray(device, randomNormal(rows * cols, seed), [rows, cols]);
      tensor.requiresGrad = true;
      tensor.gradient = fromArray(device, new Float32Array(rows * cols), [rows, cols]);
      return tensor;
    };
    const table = parameter(vocab, dim, 1);
    const gate = parameter(hidden, dim, 2);
    const up = parameter(hidden, dim, 3);
    const down = parameter(dim, hidden, 4);
    const norm = fromArray(device, new Float32Array(dim).fill(1), [dim]);
    norm.requiresGrad = true;
    norm.gradient = fromArray(device, new Float32Array(dim), [dim]);
    const tokens = fromArray(device, new Int32Array(numTokens).fill(3), [1, numTokens], 'i32');

    const step = (): Tensor => {
      const { result, tape } = device.record(() =>
        device.scope(() => {
          const x = embedding({ tokens, table });
          const n = rmsNorm({ x, weight: norm });
          const inner = swiglu({
            gate: linear({ x: n, weight: gate, bias: null }),
            up: linear({ x: n, weight: up, bias: null }),
          });
          const y = add({ a: x, b: linear({ x: inner, weight: down, bias: null }) });
          return crossEntropy({ hidden: y, weight: table, labels: tokens }, 1 / numTokens);
        }),
      );
      device.scope(() => tape.backward([result], [fromArray(device, [1], [1])]));
      return result;
    };
    const measured: ReturnType<Device['memory']>[] = [];
    for (let i = 0; i < 200; i++) {
      const loss = step();
      if (i % 40 === 0) assert.ok(Number.isFinite((await loss.read())[0]));
      loss.release();
      measured.push(device.memory({ resetPeak: true }));
    }
    const settled = measured[10]!;
    for (const memory of measured.slice(10)) assert.equal(memory, settled);
  }));

test.run();
