import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../device.js';
import { empty, type Tensor } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, checkRemade, expectSameBits, fromNumbers, randomNormal } from '../../testing/index.js';
import { wide } from '../pointwise/index.js';
import { l2Norm, residualNorm, rmsNorm } from './index.js';
import { l2NormReference, residualNormReference, rmsNormReference } from './reference.js';

// Every layout of held_rows.cuh, whole packs and single numbers, rows that fill no block and more than there are blocks.
const shapes: readonly (readonly [number, number])[] = [
  [1, 1],
  [63, 7],
  [1000, 33],
  [3, 1000],
  [5, 1030],
  [9, 4095],
  [9000, 24],
  [2000, 128],
  [70, 512],
  [33, 1536],
  [40, 2048],
  [17, 2056],
  [7, 4096],
  [5, 8192],
  [3, 16384],
];

type Tensors = Readonly<Record<string, Tensor>>;

for (const [rows, cols] of shapes) {
  const shape = [rows, cols];
  const given = (seed: number) => ({ values: randomNormal(rows * cols, seed), shape });
  const weight = { values: randomNormal(cols, 3), shape: [cols] };

  testOnGpu(`rms-norm and l2-norm [${shape}]`, async (device) => {
    await checkOpOnGpu(device, {
      name: 'rms-norm',
      inputs: { x: given(1), weight },
      op: ({ x, weight }) => [rmsNorm({ x, weight: wide(weight) }, 0.5)],
      reference: (values) => rmsNormReference(values, 0.5),
    });
    await checkOpOnGpu(device, {
      name: 'l2-norm',
      inputs: { x: given(1) },
      op: ({ x }) => [l2Norm(x, 0.5)],
      reference: ({ x }) => [l2NormReference(x, cols, 0.5)],
    });
  });

  testOnGpu(`residual-norm [${shape}]`, async (device) => {
    const outputs = (x: Tensor, branch: Tensor | null, weight: Tensor) => {
      const { stream, normed } = residualNorm({ x, branch, weight: wide(weight) }, 0.5);
      return [stream, normed];
    };
    await checkOpOnGpu(device, {
      name: 'residual-norm',
      inputs: { x: given(1), branch: given(2), weight },
      op: ({ x, branch, weight }) => outputs(x, branch, weight),
      reference: (values) => residualNormReference(values, 0.5),
    });
    await checkOpOnGpu(device, {
      name: 'no branch',
      inputs: { x: given(1), weight },
      op: ({ x, weight }) => outputs(x, null, weight),
      reference: (values) => residualNormReference(values, 0.5),
    });
  });
}

/** Outputs and gradients of a residual norm in bf16 with its weight in f32. */
async function results(device: Device): Promise<Float64Array[]> {
  const shape = [3000, 512];
  const given = (seed: number) => fromNumbers(device, randomNormal(3000 * 512, seed), shape, 'bf16');
  const [x, branch] = [given(1), given(2)];
  const weight = fromNumbers(device, randomNormal(512, 3), [512], 'f32');
  weight.gradient = fromNumbers(device, new Float64Array(512), [512], 'f32');
  for (const tensor of [x, branch, weight]) tensor.requiresGrad = true;
  const { result, tape } = device.record(() => device.scope(() => residualNorm({ x, branch, weight })));
  const { stream, normed } = result;
  const gradients = tape.backward([stream, normed], [given(4), given(5)], [x, branch]);
  return Promise.all([stream, normed, ...gradients, weight.gradient].map((tensor) => tensor!.readNumbers()));
}

testOnGpu('residual-norm ~> twice the same bits', async (device) => {
  expectSameBits('twice', await results(device), await results(device));
});

testOnGpu('no kernel for rows that are too long, nor for a weight in bf16', async (device) => {
  const norm = (cols: number) => rmsNorm({ x: empty(device, [2, cols]), weight: empty(device, [cols]) });
  norm(16384);
  assert.throws(() => norm(16388), /E-CUDA-KERNEL.*rows of 16388 elements of f32.*up to 16384.*Fix/s);
  assert.throws(() => norm(4097), /E-CUDA-KERNEL.*4096 unless/s);
  const halves = [empty(device, [2, 8], 'bf16'), empty(device, [8], 'bf16')] as const;
  assert.throws(() => rmsNorm({ x: halves[0], weight: halves[1] }), /E-DTYPE.*weight is bf16.*f32/s);
});

for (const dtype of ['f32', 'bf16'] as const) {
  testOnGpu(
    `norms in ${dtype} ~> their backward pass writes the output once more, with the same bits`,
    async (device) => {
      for (const [rows, cols] of shapes) {
        const [x, weight] = [[rows, cols], [cols]];
        const ops = {
          rms: { shapes: { x, weight }, op: (t: Tensors) => rmsNorm({ x: t.x!, weight: t.weight! }) },
          l2: { shapes: { x }, op: (t: Tensors) => l2Norm(t.x!) },
          residual: {
            shapes: { x, branch: x, weight },
            op: (t: Tensors) => residualNorm({ x: t.x!, branch: t.branch!, weight: t.weight! }).normed,
          },
        };
        for (const one of Object.values(ops)) await checkRemade(device, { ...one, dtype });
      }
    },
  );
}

test.run();
