import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice, openShapeDevice } from '../../device.js';
import { empty, fromArray } from '../../tensor.js';
import { checkOp, randomNormal } from '../../testing/index.js';
import { attention } from './index.js';
import { attentionReference } from './reference.js';

interface Case {
  readonly name: string;
  readonly B?: number;
  readonly T: number;
  readonly H?: number;
  readonly G?: number;
  /** Tokens of earlier slices and of later ones. */
  readonly before?: number;
  readonly later?: number;
  readonly window?: number;
  /** Tokens of the whole sequence at which a document starts, by batch row; none: one document. */
  readonly starts?: readonly (readonly number[])[];
}

const cases: readonly Case[] = [
  // With a single key q has no gradient but rounding, which nothing can be compared with.
  { name: 'one token, one later', T: 1, later: 1 },
  { name: 'several blocks', T: 150 },
  { name: 'grouped heads, between other slices', B: 2, T: 33, H: 6, G: 2, before: 40, later: 71 },
  { name: 'window', T: 140, window: 9, later: 5 },
  { name: 'window of the neighbours', T: 40, window: 2 },
  { name: 'window that reaches other slices', B: 2, T: 40, window: 60, before: 50, later: 90 },
  {
    name: 'documents',
    B: 2,
    T: 130,
    starts: [
      [0, 1, 31, 32, 100],
      [64, 65, 129],
    ],
  },
  {
    ...{ name: 'documents over slices, window', B: 2, T: 50, before: 45, later: 70, window: 33 },
    starts: [
      [30, 70, 71, 110],
      [94, 95],
    ],
  },
];

const [K, V, scale] = [5, 4, 0.7];

/** By query [B, T]: tokens of its document before it, and after it. */
function reachOf({ B = 1, T, before = 0, later = 0, starts }: Case) {
  const S = before + T + later;
  const of = (value: (index: number, documents: readonly number[]) => number) =>
    Int32Array.from({ length: B * T }, (_, i) => value(before + (i % T), starts?.[Math.floor(i / T)] ?? []));
  return {
    positions: of((index, all) => index - Math.max(0, ...all.filter((start) => start <= index))),
    after: of((index, all) => Math.min(S, ...all.filter((start) => start > index)) - 1 - index),
  };
}

for (const problem of cases) {
  test(`attention to both sides ~> ${problem.name}`, async () => {
    const { B = 1, T, H = 2, G = H, before = 0, later = 0, window = 0, starts } = problem;
    const S = before + T + later;
    const { positions, after } = reachOf(problem);
    const input = (shape: readonly number[], seed: number) => {
      const size = shape.reduce((product, dim) => product * dim, 1);
      return { values: randomNormal(size, seed), shape };
    };
    await checkOp({
      name: problem.name,
      inputs: { q: input([B, T, H, K], 1), k: input([B, S, G, K], 2), v: input([B, S, G, V], 3) },
      op: ({ q, k, v }, device) => {
        const flags = (values: Int32Array) => fromArray(device, values, [B, T], 'i32');
        const reach = { positions: starts ? flags(positions) : null, after: flags(after) };
        const options = { scale, keyOffset: before, window, ...reach };
        return [attention({ q, k, v, kSelf: null, vSelf: null }, options)];
      },
      reference: (values) => {
        const sizes = { B, T, H, S, G, K, V, scale, keyOffset: before, window, chunk: 0 };
        return [attentionReference(sizes, values, positions, after)];
      },
      maxElements: 12,
    });
  });
}

test('attention to both sides ~> FLOPs are those of the pairs of one document', () => {
  const count = (window: number) => {
    const device = openShapeDevice();
    const [T, before, later] = [7, 4, 3];
    const [q, k] = [empty(device, [1, T, 1, 1]), empty(device, [1, before + T + later, 1, 1])];
    const after = empty(device, [1, T], 'i32');
    attention({ q, k, v: k, kSelf: null, vSelf: null }, { keyOffset: before, window, after });
    // Two products of a multiply-add for each pair.
    return device.flops / 4;
  };
  assert.is(count(0), 7 * 14);
  assert.is(count(2), 7 * 3);
  assert.is(count(5), 7 * 9 - 1);
});

test('attention to both sides ~> whatever `after` says, no memory but that of the keys is read', async () => {
  const device = openCpuDevice({ poison: true });
  const x = fromArray(device, randomNormal(12, 1), [1, 3, 1, 4], 'f64');
  const after = fromArray(device, [2 ** 31 - 1, -100, 5], [1, 3], 'i32');
  const found = await attention({ q: x, k: x, v: x, kSelf: null, vSelf: null }, { after }).readNumbers();
  assert.ok(found.every((value) => Number.isFinite(value)));
  device.close();
});

test.run();
