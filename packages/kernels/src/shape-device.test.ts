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

/** A training step through every op, with sizes that the allocator need not round. */
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
    // The CPU rounds blocks up to 64 bytes at least and by 12.5 % at most.
    for (const key of ['inUseBytes', 'peakBytes'] as const) {
      const [counted, used] = [shape.memory[key], real.memory[key]];
      assert.ok(
        counted <= used && used <= 1.125 * counted + 64 * 100,
        `${key}: counted ${counted}, used ${used}`,
      );
    }
  } finally {
    cpu.close();
  }
});

test('a shape device counts views once and gives memory back', async () => {
  const device = openShapeDevice();
  const x = empty(device, [10, 10]);
  const y = empty(device, [3], 'f64');
  const view = x.view([50], 50);
  assert.is(device.memory().inUseBytes, 424);
  assert.is(device.memory().numTensors, 3);
  x.release();
  assert.is(device.memory().inUseBytes, 424);
  view.release();
  assert.is(device.memory().inUseBytes, 24);
  assert.is(device.memory({ resetPeak: true }).peakBytes, 424);
  assert.is(device.memory().peakBytes, 24);
  assert.is((await y.read()).length, 3);
  await device.compute.sync();
});

test.run();
