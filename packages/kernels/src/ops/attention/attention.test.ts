import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { reshape, splitLast } from '../../index.js';
import { fromArray, type Tensor, zeros } from '../../tensor.js';
import { checkOp, randomNormal } from '../../testing/index.js';
import {
  type AttentionInputs,
  type AttentionOptions,
  type AttentionResult,
  attendBlock,
  attendBlockBackward,
  attention,
  chunkEnds,
} from './index.js';
import { attentionReference } from './reference.js';

interface Case {
  readonly name: string;
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly G: number;
  readonly K: number;
  readonly V: number;
  readonly keyOffset?: number;
  readonly window?: number;
  readonly chunk?: number;
  /** Tokens of the whole sequence at which a document starts, by batch row; none: one document. */
  readonly starts?: readonly (readonly number[])[];
  readonly hasOwnKeys?: boolean;
  /** Keys come in blocks of these sizes, in the order of `blockOrder`. */
  readonly blocks?: readonly number[];
  readonly blockOrder?: readonly number[];
}

const cases: readonly Case[] = [
  { name: 'one token', B: 1, T: 1, H: 1, G: 1, K: 1, V: 1 },
  { name: 'no whole block', B: 2, T: 37, H: 2, G: 2, K: 5, V: 3 },
  { name: 'several blocks', B: 1, T: 150, H: 1, G: 1, K: 16, V: 24 },
  { name: 'grouped heads', B: 2, T: 33, H: 6, G: 2, K: 8, V: 7 },
  { name: 'keys of earlier slices', B: 2, T: 20, H: 2, G: 1, K: 9, V: 4, keyOffset: 101 },
  { name: 'window', B: 1, T: 140, H: 2, G: 1, K: 4, V: 4, window: 9 },
  { name: 'window and earlier slices', B: 1, T: 70, H: 1, G: 1, K: 4, V: 4, window: 80, keyOffset: 66 },
  {
    name: 'documents',
    B: 2,
    T: 130,
    H: 2,
    G: 2,
    K: 6,
    V: 5,
    starts: [
      [0, 1, 31, 32, 100],
      [64, 65, 129],
    ],
  },
  {
    name: 'documents of earlier slices',
    B: 1,
    T: 40,
    H: 2,
    G: 1,
    K: 6,
    V: 5,
    keyOffset: 70,
    starts: [[3, 80, 81]],
  },
  { name: 'own keys', B: 1, T: 35, H: 4, G: 2, K: 6, V: 5, hasOwnKeys: true },
  {
    name: 'chunks',
    B: 2,
    T: 70,
    H: 2,
    G: 1,
    K: 6,
    V: 5,
    chunk: 4,
    hasOwnKeys: true,
    starts: [[7, 8, 30], []],
  },
  {
    name: 'chunks of earlier slices',
    B: 1,
    T: 23,
    H: 2,
    G: 2,
    K: 6,
    V: 5,
    chunk: 5,
    hasOwnKeys: true,
    keyOffset: 31,
  },
  {
    name: 'keys in blocks',
    ...{ B: 2, T: 37, H: 4, G: 2, K: 5, V: 3, keyOffset: 101 },
    ...{ blocks: [40, 60, 1, 37], blockOrder: [3, 0, 2, 1] },
  },
  {
    name: 'a window over blocks',
    ...{ B: 1, T: 70, H: 1, G: 1, K: 4, V: 4, window: 80, keyOffset: 96 },
    ...{ blocks: [10, 86, 70], blockOrder: [0, 2, 1] },
  },
  {
    name: 'documents over blocks',
    ...{ B: 2, T: 40, H: 2, G: 1, K: 6, V: 5, keyOffset: 70 },
    ...{ blocks: [30, 40, 40], blockOrder: [2, 1, 0] },
    starts: [
      [3, 80, 81],
      [29, 30, 100],
    ],
  },
  {
    name: 'chunks in blocks',
    ...{ B: 2, T: 23, H: 2, G: 2, K: 6, V: 5, chunk: 5, hasOwnKeys: true, keyOffset: 30 },
    ...{ blocks: [2, 4, 5], blockOrder: [0, 2, 1] },
    starts: [[7, 12, 31], []],
  },
];

/** The same through `attendBlock`. */
function attentionInBlocks(
  { q, k, v, kSelf, vSelf }: AttentionInputs,
  { keyOffset = 0, ...options }: AttentionOptions,
  { B, G, K, V, chunk = 0, blocks = [], blockOrder = [] }: Case,
): Tensor {
  const cut = (x: Tensor, size: number) => {
    const flat = reshape(x, [B, -1]);
    const parts = splitLast(
      flat,
      blocks.map((rows) => rows * G * size),
    );
    return parts.map((part, i) => reshape(part, [B, blocks[i]!, G, size]));
  };
  const [keys, values] = [cut(k, K), cut(v, V)];
  const { device } = q;
  const blockOf = (block: number, isFirst: boolean): [AttentionInputs, AttentionOptions] => {
    const rowsBefore = blocks.slice(0, block).reduce((sum, rows) => sum + rows, 0);
    const own = isFirst ? { kSelf, vSelf } : { kSelf: null, vSelf: null };
    const inputs = { q, k: keys[block]!, v: values[block]!, ...own };
    return [inputs, { ...options, keyOffset: keyOffset - rowsBefore * Math.max(1, chunk) }];
  };
  let result: AttentionResult | null = null;
  for (const block of blockOrder) result = attendBlock(...blockOf(block, result === null), result);
  const whole = result!;
  const own = kSelf && vSelf ? [kSelf, vSelf] : [];
  const inputs = [q, ...keys, ...values, ...own];
  device.tape?.record({
    name: 'attention in blocks',
    inputs,
    outputs: [whole.o],
    saved: [...inputs, whole.o, whole.lse, options.positions ?? null].filter((one) => one !== null),
    backward: ([dO]) => {
      const gradients = inputs.map(({ shape, dtype }) => zeros(device, shape, dtype));
      const [dSelfK = null, dSelfV = null] = gradients.slice(1 + 2 * blocks.length);
      blockOrder.forEach((block, i) => {
        const [dk, dv] = [gradients[1 + block]!, gradients[1 + blocks.length + block]!];
        const ofOwn = i === 0 ? { kSelf: dSelfK, vSelf: dSelfV } : { kSelf: null, vSelf: null };
        attendBlockBackward(...blockOf(block, i === 0), whole, dO!, {
          ...{ q: gradients[0]!, k: dk, v: dv },
          ...ofOwn,
        });
      });
      return gradients;
    },
  });
  return whole.o;
}

function positionsOf({ B, T, keyOffset = 0, starts }: Case): Int32Array {
  return Int32Array.from({ length: B * T }, (_, i) => {
    const index = keyOffset + (i % T);
    const before = (starts?.[Math.floor(i / T)] ?? []).filter((start) => start <= index);
    return index - Math.max(0, ...before);
  });
}

for (const problem of cases) {
  test(`attention: ${problem.name}`, async () => {
    const { B, T, H, G, K, V, keyOffset = 0, window = 0, chunk = 0, starts, hasOwnKeys = false } = problem;
    const S = chunk > 0 ? Math.ceil((keyOffset + T) / chunk) : keyOffset + T;
    const positions = positionsOf(problem);
    const scale = 0.7;
    const shapes = {
      q: [B, T, H, K],
      k: [B, S, G, K],
      v: [B, S, G, V],
      ...(hasOwnKeys && { kSelf: [B, T, G, K], vSelf: [B, T, G, V] }),
    };
    const inputs = Object.fromEntries(
      Object.entries(shapes).map(([name, shape], i) => {
        const size = shape.reduce((product, dim) => product * dim, 1);
        return [name, { values: randomNormal(size, i + 1), shape }];
      }),
    );
    await checkOp({
      name: problem.name,
      inputs,
      op: (tensors, device) => {
        const given = starts ? fromArray(device, positions, [B, T], 'i32') : null;
        const own = { kSelf: tensors.kSelf ?? null, vSelf: tensors.vSelf ?? null };
        const main = { q: tensors.q!, k: tensors.k!, v: tensors.v! };
        const options = { scale, keyOffset, window, chunk, positions: given };
        const all = { ...main, ...own };
        return [problem.blocks ? attentionInBlocks(all, options, problem) : attention(all, options)];
      },
      reference: (values) => {
        const sizes = { B, T, H, S, G, K, V, scale, keyOffset, window, chunk };
        return [
          attentionReference(sizes, values as unknown as Parameters<typeof attentionReference>[1], positions),
        ];
      },
      maxElements: 12,
    });
  });
}

test('attention: scores far apart and far from zero keep their softmax', async () => {
  const [T, K] = [70, 4];
  const inputs = {
    q: { values: randomNormal(T * K, 1, 30), shape: [1, T, 1, K] },
    k: { values: randomNormal(T * K, 2, 30), shape: [1, T, 1, K] },
    v: { values: randomNormal(T * K, 3), shape: [1, T, 1, K] },
  };
  const sizes = { B: 1, T, H: 1, S: T, G: 1, K, V: K, scale: 1, keyOffset: 0, window: 0, chunk: 0 };
  const device = openCpuDevice({ poison: true });
  const upload = (name: keyof typeof inputs, dtype: 'f32' | 'f64') =>
    fromArray(device, inputs[name].values, inputs[name].shape, dtype);
  const expected = attentionReference(
    sizes,
    { q: inputs.q.values, k: inputs.k.values, v: inputs.v.values },
    Int32Array.from({ length: T }, (_, t) => t),
  );
  const own = { kSelf: null, vSelf: null };
  const o = attention(
    { q: upload('q', 'f64'), k: upload('k', 'f64'), v: upload('v', 'f64'), ...own },
    { scale: 1 },
  );
  const found = await o.readNumbers();
  device.close();
  found.forEach((value, i) => {
    assert.ok(Math.abs(value - expected[i]!) < 1e-11, `element ${i}: ${value}, expected ${expected[i]}`);
  });
});

/** Output and gradients of q, k and v, with `fill` in tokens 10 to 39, a document between two others. */
async function withMiddle(
  fill: (length: number) => ArrayLike<number>,
  options: { window?: number; chunk?: number },
) {
  const [T, K] = [70, 5];
  const device = openCpuDevice({ poison: true });
  const upload = (seed: number): Tensor => {
    const values = randomNormal(T * K, seed);
    values.set(fill(30 * K), 10 * K);
    const tensor = fromArray(device, values, [1, T, 1, K]);
    tensor.requiresGrad = true;
    tensor.gradient = fromArray(device, new Float64Array(T * K), [1, T, 1, K]);
    return tensor;
  };
  const inputs = { q: upload(1), k: upload(2), v: upload(3) };
  const starts = [0, 10, 40];
  const positions = fromArray(
    device,
    Int32Array.from({ length: T }, (_, t) => t - starts.filter((start) => start <= t).at(-1)!),
    [1, T],
    'i32',
  );
  const { chunk } = options;
  const { result: o, tape } = device.record(() => {
    if (chunk === undefined)
      return attention({ ...inputs, kSelf: null, vSelf: null }, { ...options, positions });
    const grid = { chunk, tokenOffset: 0, positions };
    const ends = { k: chunkEnds(inputs.k, grid), v: chunkEnds(inputs.v, grid) };
    return attention({ q: inputs.q, ...ends, kSelf: inputs.k, vSelf: inputs.v }, { chunk, positions });
  });
  tape.backward([o], [upload(4)]);
  const results = [o, inputs.q.gradient!, inputs.k.gradient!, inputs.v.gradient!];
  const values = await Promise.all(results.map((tensor) => tensor.readNumbers()));
  device.close();
  return values.map((tensor) => [...tensor.subarray(0, 10 * K), ...tensor.subarray(40 * K)]);
}

for (const options of [{}, { window: 20 }, { chunk: 4 }]) {
  test(`attention ~> a document of NaN changes no other, to the bit: ${JSON.stringify(options)}`, async () => {
    const before = await withMiddle((length) => randomNormal(length, 9), options);
    const after = await withMiddle((length) => new Float64Array(length).fill(Number.NaN), options);
    assert.equal(after, before);
    assert.ok(before.flat().every(Number.isFinite));
  });
}

test('chunk-ends: every document has its own chunks, and gradients go back', async () => {
  const [B, T, row] = [2, 11, 3];
  // Chunks of 4 end at positions 3 and 7: row 0 at tokens 2 and 10, row 1 at token 6.
  const positions = Int32Array.from(
    [
      [1, 2, 3, 4, 0, 1, 2, 0, 1, 2, 3],
      [0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 0],
    ].flat(),
  );
  const tokenOffset = 5;
  const slots = 3; // tokens 5 to 15 touch the chunks of 4 to 7, 8 to 11 and 12 to 15
  await checkOp({
    name: 'chunk-ends',
    inputs: { x: { values: randomNormal(B * T * row, 1), shape: [B, T, row] } },
    op: ({ x }, device) => {
      const grid = { chunk: 4, tokenOffset, positions: fromArray(device, positions, [B, T], 'i32') };
      return [chunkEnds(x, grid)];
    },
    reference: ({ x }) => {
      const ends = new Float64Array(B * slots * row);
      for (const [b, t, slot] of [
        [0, 2, 0],
        [0, 10, 2],
        [1, 6, 1],
      ] as const) {
        ends.set(x.subarray((b * T + t) * row, (b * T + t + 1) * row), (b * slots + slot) * row);
      }
      return [ends];
    },
  });
});

test('attention ~> positions that cannot be reach no memory but that of the keys', async () => {
  const [T, K] = [40, 3];
  const device = openCpuDevice({ poison: true });
  const leaf = (seed: number): Tensor => {
    const tensor = fromArray(device, randomNormal(T * K, seed), [1, T, 1, K]);
    tensor.requiresGrad = true;
    return tensor;
  };
  const positions = fromArray(
    device,
    Int32Array.from({ length: T }, (_, t) => (t % 2 ? 10 ** 9 : -(10 ** 9))),
    [1, T],
    'i32',
  );
  const { result: o, tape } = device.record(() =>
    attention({ q: leaf(1), k: leaf(2), v: leaf(3), kSelf: null, vSelf: null }, { positions }),
  );
  tape.backward([o], [leaf(4)]);
  const found = await o.readNumbers();
  device.close();
  // Even tokens would see keys after the last one, so none; odd ones see all up to their own.
  found.forEach((value, i) => {
    assert.is(value === 0, Math.floor(i / K) % 2 === 0, `element ${i} is ${value}`);
  });
});

test('attention ~> refuses what does not fit', () => {
  const device = openCpuDevice();
  const nothing = (shape: readonly number[]) =>
    fromArray(device, new Float64Array(shape.reduce((a, b) => a * b)), shape);
  const [q, k] = [nothing([1, 4, 3, 2]), nothing([1, 4, 2, 2])];
  const own = { kSelf: null, vSelf: null };
  assert.throws(() => attention({ q, k, v: nothing([1, 5, 2, 2]), ...own }), /v has shape \[1, 5, 2, 2\]/);
  assert.throws(() => attention({ q, k, v: k, ...own }), /not a multiple of key heads/);
  device.close();
});

test.run();
