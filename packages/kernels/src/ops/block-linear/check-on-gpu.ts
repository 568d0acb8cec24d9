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
export async function checkMixedBlockGradient(device: Device, size: number): Promise<void> {
  const [rows, G] = [150, 3];
  const xs = Array.from({ length: rows * G * size }, (_, i) => (i % 17) - 8);
  const dys = Array.from({ length: rows * G * size }, (_, i) => (i % 13) - 6);
  const expected = Array.from({ length: G * size * size }, (_, i) => i + 0.5);
  const dw = fromArray(device, expected, [G, size, size]);
  for (let r = 0; r < rows; r++) {
    for (let g = 0; g < G; g++) {
      for (let o = 0; o < size; o++) {
        for (let c = 0; c < size; c++) {
          expected[(g * size + o) * size + c]! += dys[(r * G + g) * size + o]! * xs[(r * G + g) * size + c]!;
        }
      }
    }
  }
  const x = fromNumbers(device, xs, [rows, G, size], 'bf16');
  const dy = fromNumbers(device, dys, [rows, G, size], 'bf16');
  device.native.blockLinearWeightGrad(device.compute.id, x.id, dw.id, dy.id, true);
  assert.equal([...(await dw.read())], expected);
}
