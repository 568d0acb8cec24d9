import * as assert from 'uvu/assert';
import type { Device } from '../../device.js';
import type { DType } from '../../tensor.js';
import { expectSameBits, fromNumbers, randomNormal } from '../../testing/index.js';
import { gatedMlp } from './gated-mlp.js';

const [rows, numIn, hidden] = [70, 32, 48];

/** That an MLP whose output is known gives that very memory, without the product with down, and the same gradients to the bit. */
export async function checkKnownOutput(device: Device, dtype: DType): Promise<void> {
  const leaf = (seed: number, shape: readonly [number, number]) => {
    const tensor = fromNumbers(device, randomNormal(shape[0] * shape[1], seed), shape, dtype);
    tensor.requiresGrad = true;
    return tensor;
  };
  const inputs = {
    ...{ x: leaf(1, [rows, numIn]), gate: leaf(2, [hidden, numIn]) },
    ...{ up: leaf(3, [hidden, numIn]), down: leaf(4, [numIn, hidden]) },
  };
  const seed = leaf(5, [rows, numIn]);
  const run = async (known: ReturnType<typeof leaf> | null) => {
    const before = device.flops;
    const { result, tape } = device.record(() => device.scope(() => gatedMlp(inputs, known)));
    const flops = device.flops - before;
    const gradients = tape.backward([result], [seed], Object.values(inputs));
    return { result, flops, gradients: await Promise.all(gradients.map((one) => one!.readNumbers())) };
  };
  const made = await run(null);
  const other = leaf(6, [rows, numIn]);
  const known = await run(other.view(other.shape));
  expectSameBits('output', await known.result.readNumbers(), await other.readNumbers());
  assert.is(made.flops - known.flops, 2 * rows * hidden * numIn);
  expectSameBits('gradients', known.gradients, made.gradients);
}
