import * as assert from 'uvu/assert';
import type { Device } from '../device.js';
import { linear } from '../ops/linear/index.js';
import type { DType, Tensor } from '../tensor.js';
import { wideType } from '../types-of.js';
import { fromNumbers } from './from-numbers.js';
import { randomNormal } from './random.js';

export interface RemadeCheck {
  /** Shapes of the op's inputs; those of one dim are not of tokens, and f32 beside bf16. */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  /** To rows [..., D]. */
  readonly op: (tensors: Readonly<Record<string, Tensor>>) => Tensor;
  /** Of the rows. */
  readonly dtype: DType;
}

const numOut = 8;

/**
 * That an op's output need not be kept: a projection of it has the same gradients, to the bit, where the op's backward rule
 * writes the output once more and where it was kept.
 */
export async function checkRemade(device: Device, check: RemadeCheck): Promise<void> {
  const kept = await gradientsOf(device, check, false);
  const remade = await gradientsOf(device, check, true);
  assert.ok(kept.heldBytes - remade.heldBytes >= kept.outputBytes, 'memory between the passes');
  assert.is(remade.leftTensors, 0);
  remade.gradients.forEach((values, i) => {
    assert.ok(values.every(Number.isFinite), `gradient ${i}`);
    assert.equal(values, kept.gradients[i], `gradient ${i}`);
  });
}

async function gradientsOf(device: Device, { shapes, op, dtype }: RemadeCheck, remakes: boolean) {
  const leaf = (shape: readonly number[], type: DType, seed: number) => {
    const values = randomNormal(
      shape.reduce((product, dim) => product * dim, 1),
      seed,
    );
    const tensor = fromNumbers(device, values, shape, type);
    tensor.requiresGrad = true;
    return tensor;
  };
  const inputs = Object.entries(shapes).map(([name, shape], i): [string, Tensor] => {
    return [name, leaf(shape, shape.length === 1 ? wideType(dtype) : dtype, i + 1)];
  });
  const wanted = inputs.map(([, tensor]) => tensor);
  const numTensors = device.memory().numTensors;
  let outputBytes = 0;
  device.remakesCheapOutputs = remakes;
  try {
    const before = device.memory().inUseBytes;
    let weight: Tensor | null = null;
    const { result, tape } = device.record(() =>
      device.scope(() => {
        const rows = op(Object.fromEntries(inputs));
        outputBytes = rows.bytes;
        weight = leaf([numOut, rows.dim(-1)], dtype, 20).retain();
        weight.gradient = leaf(weight.shape, wideType(dtype), 21).retain();
        return linear({ x: rows, weight, bias: null });
      }),
    );
    const heldBytes = device.memory().inUseBytes - before;
    const seed = leaf(result.shape, dtype, 22);
    const gradients = tape.backward([result], [seed], wanted);
    const all = [...gradients, weight!.gradient].map((tensor) => tensor!);
    const values = await Promise.all(all.map((tensor) => tensor.readNumbers()));
    for (const tensor of [...all, weight!, seed, result]) tensor.release();
    return {
      gradients: values,
      heldBytes,
      outputBytes,
      leftTensors: device.memory().numTensors - numTensors,
    };
  } finally {
    device.remakesCheapOutputs = false;
  }
}
