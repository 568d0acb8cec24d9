import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../device.js';
import { LongscanError } from '../../errors.js';
import { empty, fromArray, type Tensor, zeros } from '../../tensor.js';
import { fromNumbers } from '../../testing/from-numbers.js';
import { refusedWithLittleMemory, testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, expectSameBits, randomNormal } from '../../testing/index.js';
import {
  type AttentionInputs,
  type AttentionOptions,
  type AttentionResult,
  attendBlock,
  attendBlockBackward,
  attention,
  chunkEnds,
} from './index.js';

interface Case {
  readonly name: string;
  readonly B?: number;
  readonly T: number;
  readonly H?: number;
  readonly G?: number;
  readonly K?: number;
  readonly V?: number;
  readonly keyOffset?: number;
  readonly window?: number;
  readonly chunk?: number;
  readonly scale?: number;
  /** Tokens of the whole sequence at which a document starts; none: one document. */
  readonly starts?: readonly number[];
  /** A document is seen to its end. */
  readonly seesLater?: boolean;
  readonly hasOwnKeys?: boolean;
}

// Head sizes up to 128 without chunks, own keys and negative scales have kernels of their own on Hopper.
const cases: readonly Case[] = [
  { name: 'two tokens', T: 2 },
  { name: 'no whole block, two batch rows', B: 2, T: 63, K: 40, V: 72 },
  { name: 'several blocks', T: 300 },
  { name: 'heads of 64', T: 300, K: 64, V: 64 },
  { name: 'grouped heads', B: 2, T: 130, H: 6, G: 2, K: 64, V: 64 },
  { name: 'more heads than start in turns', B: 2, T: 140, H: 40, G: 20, K: 64, V: 64 },
  { name: 'keys of earlier slices', T: 140, keyOffset: 101 },
  { name: 'window', T: 300, window: 90, keyOffset: 70 },
  { name: 'documents', B: 2, T: 300, starts: [0, 1, 31, 32, 100, 128, 257] },
  {
    name: 'documents of earlier slices, heads of 64',
    T: 140,
    keyOffset: 70,
    starts: [3, 80, 81],
    K: 64,
    V: 64,
  },
  { name: 'both sides', T: 260, seesLater: true },
  { name: 'both sides, documents, window', T: 260, seesLater: true, starts: [100, 130, 131], window: 50 },
  { name: 'wide heads', T: 70, K: 256, V: 200 },
  { name: 'negative scale', T: 70, scale: -0.3 },
  { name: 'own keys', T: 70, H: 4, G: 2, hasOwnKeys: true },
  { name: 'chunks', B: 2, T: 130, G: 1, chunk: 4, hasOwnKeys: true, starts: [7, 8, 30], K: 64, V: 32 },
];

/** Tokens of its document before each query, and after it. */
function reachOf({ B = 1, T, keyOffset = 0, starts = [] }: Case) {
  const of = (value: (index: number) => number) =>
    Int32Array.from({ length: B * T }, (_, i) => value(keyOffset + (i % T)));
  const end = keyOffset + T;
  return {
    positions: of((index) => index - Math.max(0, ...starts.filter((start) => start <= index))),
    after: of((index) => Math.min(end, ...starts.filter((start) => start > index)) - 1 - index),
  };
}

function optionsOf(device: Device, problem: Case) {
  const { B = 1, T, keyOffset = 0, window = 0, chunk = 0, scale = 0.1, starts, seesLater } = problem;
  const { positions, after } = reachOf(problem);
  const upload = (values: Int32Array, isGiven: boolean) =>
    isGiven ? fromArray(device, values, [B, T], 'i32') : null;
  return {
    ...{ scale, keyOffset, window, chunk },
    positions: upload(positions, starts !== undefined),
    after: upload(after, seesLater === true),
  };
}

function inputOf(shape: readonly number[], seed: number) {
  return {
    values: randomNormal(
      shape.reduce((product, dim) => product * dim, 1),
      seed,
    ),
    shape,
  };
}

const noReference = () => [];

/** Shared memory that kernels for more than 128 channels take. */
const wideBytes = 142_088;

for (const problem of cases) {
  testOnGpu(problem.name, async (device) => {
    const { B = 1, T, H = 2, G = H, K = 128, V = 128, keyOffset = 0, chunk = 0, hasOwnKeys } = problem;
    const S = chunk > 0 ? Math.ceil((keyOffset + T) / chunk) : keyOffset + T;
    const own = { kSelf: inputOf([B, T, G, K], 4), vSelf: inputOf([B, T, G, V], 5) };
    const run = () =>
      checkOpOnGpu<string>(device, {
        name: problem.name,
        inputs: {
          ...{ q: inputOf([B, T, H, K], 1), k: inputOf([B, S, G, K], 2), v: inputOf([B, S, G, V], 3) },
          ...(hasOwnKeys && own),
        },
        op: ({ q, k, v, kSelf = null, vSelf = null }, on) => [
          attention({ q: q!, k: k!, v: v!, kSelf, vSelf }, optionsOf(on, problem)),
        ],
        reference: noReference,
      });
    await refusedWithLittleMemory(device, K <= 128 && V <= 128 ? 0 : wideBytes, run);
  });
}

/** Attention over keys that come in two blocks, of which `k1` and `v1` is the first. */
function inTwoBlocks({ q, k0, v0, k1, v1 }: Readonly<Record<string, Tensor>>, keyOffset: number): Tensor {
  const own = { kSelf: null, vSelf: null };
  const blocks: readonly [AttentionInputs, AttentionOptions][] = [
    [{ q: q!, k: k0!, v: v0!, ...own }, { keyOffset }],
    [{ q: q!, k: k1!, v: v1!, ...own }, { keyOffset: keyOffset - k0!.dim(1) }],
  ];
  let result: AttentionResult | null = null;
  for (const block of blocks) result = attendBlock(...block, result);
  const { o, lse } = result!;
  const inputs = [q!, k0!, v0!, k1!, v1!];
  q!.device.tape?.record({
    name: 'attention in blocks',
    inputs,
    outputs: [o],
    saved: [...inputs, o, lse],
    backward: ([dO]) => {
      const gradients = inputs.map(({ device, shape, dtype }) => zeros(device, shape, dtype));
      const [dq, dk0, dv0, dk1, dv1] = gradients as [Tensor, Tensor, Tensor, Tensor, Tensor];
      const none = { kSelf: null, vSelf: null };
      attendBlockBackward(...blocks[0]!, { o, lse }, dO!, { q: dq, k: dk0, v: dv0, ...none });
      attendBlockBackward(...blocks[1]!, { o, lse }, dO!, { q: dq, k: dk1, v: dv1, ...none });
      return gradients;
    },
  });
  return o;
}

testOnGpu('keys in blocks', async (device) => {
  const [T, H, G, K, rows] = [150, 4, 2, 128, [90, 200]] as const;
  const [first, second] = rows.map((S) => [inputOf([1, S, G, K], S), inputOf([1, S, G, K], S + 1)]);
  await checkOpOnGpu<string>(device, {
    name: 'keys in blocks',
    inputs: {
      ...{ q: inputOf([1, T, H, K], 1), k0: first![0]!, v0: first![1]! },
      ...{ k1: second![0]!, v1: second![1]! },
    },
    op: (tensors) => [inTwoBlocks(tensors, 140)],
    reference: noReference,
  });
});

testOnGpu('chunk-ends', async (device) => {
  const problem = { name: '', B: 2, T: 41, starts: [0, 3, 11] };
  await checkOpOnGpu<string>(device, {
    name: 'chunk-ends',
    inputs: { x: inputOf([2, 41, 3, 5], 1) },
    op: ({ x }, on) => [
      chunkEnds(x!, { chunk: 4, tokenOffset: 0, positions: optionsOf(on, problem).positions }),
    ],
    reference: noReference,
  });
});

testOnGpu('a document of NaN changes no other, to the bit', async (device) => {
  const problem = { name: '', T: 300, starts: [0, 100, 230] };
  const size = [1, 300, 2, 128];
  const run = async (fill: number | null) => {
    const upload = (seed: number) => {
      const { values } = inputOf(size, seed);
      if (fill !== null) values.fill(fill, 100 * 256, 230 * 256);
      return fromNumbers(device, values, size, 'bf16');
    };
    const inputs = { q: upload(1), k: upload(2), v: upload(3) };
    for (const input of Object.values(inputs)) {
      input.requiresGrad = true;
      input.gradient = zeros(device, size, 'bf16');
    }
    const { result: o, tape } = device.record(() =>
      attention({ ...inputs, kSelf: null, vSelf: null }, optionsOf(device, problem)),
    );
    tape.backward([o], [upload(4)]);
    const results = [o, ...Object.values(inputs).map(({ gradient }) => gradient!)];
    const values = await Promise.all(results.map((tensor) => tensor.readNumbers()));
    return values.map((all) => [...all.subarray(0, 100 * 256), ...all.subarray(230 * 256)]);
  };
  const [before, after] = [await run(null), await run(Number.NaN)];
  expectSameBits('beside a document of NaN', after, before);
  assert.ok(before.flat().every(Number.isFinite));
});

testOnGpu('head sizes without a kernel are refused, with those that have one', async (device) => {
  const x = empty(device, [1, 8, 1, 300], 'bf16');
  assert.throws(
    () => attention({ q: x, k: x, v: x, kSelf: null, vSelf: null }),
    (error: unknown) => {
      assert.instance(error, LongscanError);
      return /E-CUDA-KERNEL.*K = 300.*multiples of 8 up to 256.*Fix/.test((error as LongscanError).message);
    },
  );
});

test.run();
