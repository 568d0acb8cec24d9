import { type Device, fromArray } from '@longscan/kernels';
import { checkOp, documentEnds, documentStarts, randomNormal } from '@longscan/kernels/testing';
import { test } from 'uvu';
import type { LayerContext } from '../layer.js';
import { bidirectionalContexts } from './bidirectional-contexts.js';

const [B, T] = [2, 40];
/** A document of one token, and of fewer than a convolution has taps. */
const starts = [0, 3, 4, 17, 31];

function contextOn(device: Device, resets: Int32Array | null): LayerContext {
  const shape = [B, T] as const;
  const flags = (values: Int32Array | null) => values && fromArray(device, values, shape, 'i32');
  const [before, after] = [0, 1].map(() => resets && fromArray(device, new Int32Array(B), [B], 'i32'));
  const ends = resets && documentEnds(resets, T);
  return bidirectionalContexts({
    ...{ device, shape, group: null, resets: flags(resets), ends: flags(ends) },
    ...{ before: before!, after: after! },
  }).forLayer(0);
}

/** x of the token `ahead` of each, zeros outside of its document: [B, T, D]. */
function neighbours(x: Float64Array, D: number, ahead: number, resets: Int32Array | null): Float64Array {
  const documentOf = (b: number, t: number) => resets?.subarray(b * T, b * T + t + 1).lastIndexOf(1) ?? 0;
  return x.map((_, i) => {
    const [row, d] = [Math.floor(i / D), i % D];
    const [b, t] = [Math.floor(row / T), row % T];
    const s = t + ahead;
    if (s < 0 || s >= T || documentOf(b, s) !== documentOf(b, t)) return 0;
    return x[(b * T + s) * D + d]!;
  });
}

for (const packed of [undefined, starts]) {
  const resets = documentStarts(B, T, packed);
  const where = packed ? ', documents packed' : '';

  for (const [W, activation] of [
    [1, undefined],
    [2, undefined],
    [3, 'silu'],
    [4, 'silu'],
    [7, undefined],
  ] as const) {
    test(`a convolution looks ahead with ${Math.floor((W - 1) / 2)} of ${W} taps${where}`, async () => {
      const D = 3;
      const input = (shape: readonly number[], seed: number) => {
        const size = shape.reduce((product, dim) => product * dim, 1);
        return { values: randomNormal(size, seed), shape };
      };
      await checkOp({
        name: `convolution of ${W} taps`,
        inputs: { x: input([B, T, D], 1), weight: input([D, W], 2), bias: input([D], 3) },
        op: ({ x, weight, bias }, device) => [
          contextOn(device, resets).causalConv1d(x, weight, { bias, ...(activation && { activation }) }),
        ],
        reference: ({ x, weight, bias }) => {
          const own = W - 1 - Math.floor((W - 1) / 2);
          const sum = x.map((_, i) => bias[i % D]!);
          for (let tap = 0; tap < W; tap++) {
            neighbours(x, D, tap - own, resets).forEach((value, i) => {
              sum[i]! += weight[(i % D) * W + tap]! * value;
            });
          }
          return [activation ? sum.map((y) => y / (1 + Math.exp(-y))) : sum];
        },
        maxElements: 12,
      });
    });
  }

  for (const D of [1, 2, 5]) {
    test(`a token shift of ${D} channels is half from before, half from after${where}`, async () => {
      await checkOp({
        name: `token shift of ${D} channels`,
        inputs: { x: { values: randomNormal(B * T * D, 1), shape: [B, T, D] } },
        op: ({ x }, device) => [contextOn(device, resets).tokenShift(x)],
        reference: ({ x }) => {
          const [before, after] = [-1, 1].map((ahead) => neighbours(x, D, ahead, resets));
          return [x.map((_, i) => (i % D < Math.ceil(D / 2) ? before![i]! : after![i]!))];
        },
        maxElements: 12,
      });
    });
  }
}

test.run();
