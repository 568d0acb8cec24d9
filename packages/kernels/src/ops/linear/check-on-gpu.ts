import * as assert from 'uvu/assert';
import type { Device } from '../../device.js';
import { type DType, fromArray, type Tensor } from '../../tensor.js';
import {
  checkOpOnGpu,
  expectClose,
  fromNumbers,
  randomNormal,
  roundedTo,
  tolerances,
} from '../../testing/index.js';
import { linear } from './index.js';
import { linearReference } from './reference.js';

/** What is passed by `linear` on a GPU, and over the fake one. */
export interface LinearShape {
  readonly leading: readonly number[];
  readonly numIn: number;
  readonly numOut: number;
}

/** Output and all gradients in f32 and bf16, with a bias and without. */
export async function checkLinearOnGpu(
  device: Device,
  { leading, numIn, numOut }: LinearShape,
): Promise<void> {
  const numRows = leading.reduce((a, b) => a * b, 1);
  const x = { values: randomNormal(numRows * numIn, 1), shape: [...leading, numIn] };
  const weight = { values: randomNormal(numIn * numOut, 2), shape: [numOut, numIn] };
  const bias = { values: randomNormal(numOut, 3), shape: [numOut] };
  const name = `linear [${leading}] ${numIn} to ${numOut}`;
  await checkOpOnGpu(device, {
    name: `${name}, bias`,
    inputs: { x, weight, bias },
    op: (tensors) => [linear(tensors)],
    reference: (values) => linearReference(values, numIn, numOut),
  });
  await checkOpOnGpu(device, {
    name: `${name}, no bias`,
    inputs: { x, weight },
    op: ({ x, weight }) => [linear({ x, weight, bias: null })],
    reference: ({ x, weight }) => linearReference({ x, weight, bias: null }, numIn, numOut),
  });
}

/**
 * What training in bf16 asks for: a bias of f32, a weight's gradient that is added to f32, and a gradient of x that is added to
 * another; and the same bits when it is asked for twice.
 */
export async function checkMixedLinear(device: Device, [T, numIn, numOut]: readonly number[]): Promise<void> {
  const { native, compute } = device;
  const tensor = (dtype: DType, shape: number[], seed: number): [Tensor, Float64Array] => {
    const values = roundedTo(
      dtype,
      randomNormal(
        shape.reduce((a, b) => a * b),
        seed,
      ),
    );
    return [fromNumbers(device, values, shape, dtype), values];
  };
  const [x, xs] = tensor('bf16', [T!, numIn!], 1);
  const [weight, weights] = tensor('bf16', [numOut!, numIn!], 2);
  const [bias, biases] = tensor('f32', [numOut!], 3);
  const [dy, dys] = tensor('bf16', [T!, numOut!], 4);
  const [, before] = tensor('f32', [numOut!, numIn!], 5);
  const [, dxBefore] = tensor('bf16', [T!, numIn!], 6);

  const [y] = linearReference({ x: xs, weight: weights, bias: biases }, numIn!, numOut!);
  const dw = before.slice();
  const dx = dxBefore.slice();
  for (let t = 0; t < T!; t++) {
    for (let o = 0; o < numOut!; o++) {
      for (let i = 0; i < numIn!; i++) {
        dw[o * numIn! + i]! += dys[t * numOut! + o]! * xs[t * numIn! + i]!;
        dx[t * numIn! + i]! += dys[t * numOut! + o]! * weights[o * numIn! + i]!;
      }
    }
  }
  const run = async () => {
    const dwFound = fromArray(device, before, [numOut!, numIn!]);
    const dxFound = fromNumbers(device, dxBefore, [T!, numIn!], 'bf16');
    native.linearWeightGradient(compute.id, dy.id, x.id, dwFound.id, true);
    native.linearInputGradient(compute.id, dy.id, weight.id, dxFound.id, true);
    const yFound = linear({ x, weight, bias });
    return [await yFound.readNumbers(), await dwFound.readNumbers(), await dxFound.readNumbers()] as const;
  };
  const found = await run();
  const at = `linear [${T}] ${numIn} to ${numOut}`;
  expectClose(`${at}, y with an f32 bias`, found[0], y!, tolerances.bf16);
  expectClose(`${at}, dw added to f32`, found[1], dw, tolerances.f32);
  expectClose(`${at}, dx added to bf16`, found[2], dx, tolerances.bf16);
  assert.equal(await run(), found, 'other bits the second time');
}
