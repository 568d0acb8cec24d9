import * as assert from 'uvu/assert';
import type { Device } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { checkOpOnGpu, fromNumbers, randomNormal } from '../../testing/index.js';
import { blockLinear } from './index.js';
import { blockLinearReference } from './reference.js';

export interface BlockSizes {
  readonly rows: readonly number[];
  readonly G: number;
  readonly size: number;
  readonly out: number;
}

/** Outputs and both gradients. */
export async function checkBlockLinearOnGpu(
  device: Device,
  { rows, G, size, out }: BlockSizes,
): Promise<void> {
  const numRows = rows.reduce((product, dim) => product * dim, 1);
  await checkOpOnGpu(device, {
    name: `block-linear [${rows}], ${G} blocks of ${size} to ${out}`,
    inputs: {
      x: { values: randomNormal(numRows * G * size, 1), shape: [...rows, G, size] },
      weight: { values: randomNormal(G * out * size, 2), shape: [G, out, size] },
    },
    op: ({ x, weight }) => [blockLinear({ x, weight })],
    reference: ({ x, weight }) => [blockLinearReference({ numRows, G, size, out }, x, weight)],
  });
}

/** A weight's gradient of f32 beside bf16, which is added to: exact on small integers. */
export async function checkMixedBlockGradient(device: Device): Promise<void> {
  const [rows, G, size, out] = [3, 2, 2, 1];
  const x = fromNumbers(device, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [rows, G, size], 'bf16');
  const dy = fromNumbers(device, [1, -1, 2, 0, 3, 1], [rows, G, out], 'bf16');
  const dw = fromArray(device, [1000.5, 0, 0, -0.25], [G, out, size]);
  device.native.blockLinearWeightGrad(device.compute.id, x.id, dw.id, dy.id, true);
  assert.equal(
    [...(await dw.read())],
    [1000.5 + 1 + 2 * 5 + 3 * 9, 2 + 2 * 6 + 3 * 10, -3 + 11, -0.25 - 4 + 12],
  );
}
