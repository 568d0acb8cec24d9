import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { reshape } from './autograd/reshape.js';
import { type Device, openCpuDevice, openShapeDevice } from './device.js';
import { add } from './ops/add/index.js';
import { crossEntropy } from './ops/cross-entropy/index.js';
import { embedding } from './ops/embedding/index.js';
import { linear } from './ops/linear/index.js';
import { appendOnes, normalizeLast } from './ops/normalizer/index.js';
import { activation } from './ops/pointwise/index.js';
import { rmsNorm } from './ops/rms-norm/index.js';
import { swiglu } from './ops/swiglu/index.js';
import { empty, fromArray, type Tensor } from './tensor.js';

/** A training step through every op. */
function trainingStep(device: Device): { memory: ReturnType<Device['memory']>; flops: number; loss: Tensor } {
  const [vocab, dim, inner, numTokens] = [256, 64, 128, 512];
  const parameter = (shape: readonly number[]): Tensor => {
    const values = new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(0.01);
    const tensor = fromArray(device, values, shape);
    tensor.requiresGrad = true;
    tensor.gradient = fromArray(device, values, shape);
    return tensor;
  };
  const table = parameter([vocab, dim]);
  const norm = parameter([dim]);
  const gate = parameter([inner, dim]);
  const up = parameter([inner, dim]);
  const down = parameter([dim, inner]);
  const bias = parameter([dim]);
  const tokens = fromArray(device, new Int32Array(numTokens), [1, numTokens], 'i32');
  const { result, tape } = device.record(() =>
    device.scope(() => {
      const x = embedding({ tokens, table });
      const n = rmsNorm({ x, weight: norm });
      const mixed = swiglu({
        gate: activation('silu', linear({ x: n, weight: gate, bias: null })),
        up: linear({ x: n, weight: up, bias: null }),
      });
      const heads = reshape(linear({ x: mixed, weight: down, bias }), [1, numTokens, 2, dim / 2]);
      const y = add({ a: x, b: reshape(normalizeLast(appendOnes(heads), dim / 2), [1, numTokens, dim]) });
      return crossEntropy({ hidden: y, weight: table, labels: tokens }, 1 / numTokens);
    }),
  );
  device.scope(() => tape.backward([result], [fromArray(device, [1], [1])]));
  return { memory: device.memory(), flops: device.flops, loss: result };
}

// First in this process, before any test opens the CPU.
test('a shape device opens no native file', () => {
  const loss = trainingStep(openShapeDevice()).loss;
  assert.equal(loss.shape, [1]);
  const { sharedObjects } = process.report.getReport() as unknown as { sharedObjects: string[] };
  assert.ok(sharedObjects.length > 0);
  assert.equal(
    sharedObjects.filter((path) => path.includes('longscan') || path.includes('dnnl')),
    [],
  );
});

test('a shape device counts the bytes, tensors and FLOPs that the CPU needs, from the same code', async () => {
  const shape = trainingStep(openShapeDevice());
  const cpu = openCpuDevice({ poison: true });
  try {
    const real = trainingStep(cpu);
    assert.ok(Number.isFinite((await real.loss.read())[0]));
    assert.is(shape.flops, real.flops);
    assert.ok(shape.flops > 6 * 512 * (256 * 64 + 3 * 64 * 128));
    assert.is(shape.memory.numTensors, real.memory.numTensors);
    for (const key of ['inUseBytes', 'peakBytes', 'reservedBytes'] as const) {
      assert.is(shape.memory[key], real.memory[key], key);
    }
  } finally {
    cpu.close();
  }
});

test('a shape device counts views once and gives memory back', async () => {
  const device = openShapeDevice();
  const x = empty(device, [16, 10]);
  const y = empty(device, [3], 'f64');
  const view = x.view([50], 50);
  assert.is(device.memory().inUseBytes, 704);
  assert.is(device.memory().numTensors, 3);
  x.release();
  assert.is(device.memory().inUseBytes, 704);
  assert.is((await view.read()).length, 50);
  view.release();
  assert.is(device.memory().inUseBytes, 64);
  assert.is(device.memory({ resetPeak: true }).peakBytes, 704);
  assert.is(device.memory().peakBytes, 64);
  assert.is((await y.read()).length, 3);
  await device.compute.sync();
});

/** Sizes around every class of the allocator. */
const sizes = Array.from({ length: 40 }, (_, i) => Math.round(3 * 1.37 ** i)).filter(
  (size) => size < 2 ** 22,
);

/** Makes and releases tensors of mixed sizes on two streams, some used on both; what memory there was, each time. */
async function churn(device: Device): Promise<object[]> {
  const other = device.createStream('other');
  const seen: object[] = [];
  for (let round = 0; round < 3; round++) {
    const tensors = sizes.map((size, i) =>
      empty(device, [size - round], 'bf16', i % 3 === 0 ? other : device.compute),
    );
    const later: Tensor[] = [];
    // The host runs ahead: nothing that the other stream uses is free before it has waited.
    const opens = [device.compute.closeGate(), other.closeGate()];
    for (const [i, tensor] of tensors.entries()) {
      if (i % 2 === 0) device.native.fill(device.compute.id, tensor.id, 0);
      if (i % 7 < 5) tensor.release();
      if (i % 5 === 4) later.push(empty(device, [sizes[i]! + 1], 'bf16', other));
      seen.push(device.memory());
    }
    for (const open of opens) open();
    await Promise.all([device.compute.sync(), other.sync()]);
    for (const [i, tensor] of tensors.entries()) if (i % 7 >= 5) tensor.release();
    for (const tensor of later) tensor.release();
  }
  return seen;
}

test('a shape device reuses memory as the allocator does', async () => {
  const cpu = openCpuDevice();
  try {
    assert.equal(await churn(openShapeDevice()), await churn(cpu));
  } finally {
    cpu.close();
  }
});

test("a shape device knows what of its peak is a stream's", () => {
  const device = openShapeDevice();
  const other = device.createStream('other');
  const mine = empty(device, [32]);
  empty(device, [64], 'f32', other);
  mine.release();
  empty(device, [16]);
  assert.is(device.peakBytesOf(device.compute), 128);
  assert.is(device.peakBytesOf(other), 256);
});

test.run();
