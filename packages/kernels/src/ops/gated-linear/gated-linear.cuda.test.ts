import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runRecurrence } from '../../autograd/run-recurrence.js';
import { LongscanError } from '../../errors.js';
import { empty, zeros } from '../../tensor.js';
import { checkKept } from '../../testing/check-kept.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkRecurrenceOnGpu } from '../../testing/index.js';
import { gatedLinear } from './index.js';
import { type Case, type Kind, opOf, problem } from './problem.js';

const kinds: readonly Kind[] = [
  { decay: 'identity' },
  { decay: 'fixed-scalar' },
  { decay: 'scalar' },
  { decay: 'diagonal' },
  { decay: 'diagonal', decayOn: 'value' },
  { decay: 'diagonal', read: 'exclusive' },
];

const cases: readonly Case[] = [
  { B: 1, T: 1, H: 1, K: 64, V: 64, gates: [-1, 0] },
  { B: 2, T: 63, H: 3, K: 32, V: 64, gates: [-0.5, 0] },
  { B: 1, T: 600, H: 2, K: 64, V: 32, gates: [-1e-3, -1e-4] },
  { B: 1, T: 129, H: 1, K: 128, V: 128, gates: [-20, -1e-4] },
  { B: 2, T: 150, H: 2, K: 64, V: 128, gates: [-1, 0], starts: [0, 1, 2, 31, 64, 100, 147] },
  { B: 1, T: 900, H: 2, K: 128, V: 128, gates: [-0.1, 0], starts: [350] },
  { B: 1, T: 300, H: 1, K: 256, V: 128, gates: [-0.2, 0], starts: [130, 192] },
  { B: 2, T: 1100, H: 1, K: 40, V: 72, gates: [-0.05, 0], starts: [5, 700] },
];

for (const kind of kinds) {
  for (const [i, shape] of cases.entries()) {
    const check = problem(kind, shape, i);
    const keepsCheap = kind.decay === 'diagonal' && kind.decayOn === undefined;
    for (const dtype of ['bf16', 'f32'] as const) {
      testOnGpu(`${check.name}, ${dtype}`, (device) =>
        checkRecurrenceOnGpu(device, check, { dtype, typed: ['q', 'k', 'v'], decays: ['g'], keepsCheap }),
      );
    }
  }
}

/** In segments of many chunks, and of as few as pay. */
for (const [B, T, H, K, V] of [
  [1, 1000, 2, 256, 256],
  [1, 1000, 2, 128, 512],
  [1, 20_000, 2, 128, 128],
] as const) {
  for (const kind of kinds.filter(({ decayOn }) => decayOn === undefined || V <= 256)) {
    const { decay, decayOn, read } = kind;
    testOnGpu(
      `${decay} on ${decayOn ?? 'key'}s${read ? `, ${read}` : ''}, T=${T} H=${H} K=${K} V=${V} ~> kernels keep what plans count`,
      async (device) => {
        const rows = [B, T, H] as const;
        const channels = [...rows, decayOn === 'value' ? V : K];
        const gateShape = { identity: null, 'fixed-scalar': [H], scalar: rows, diagonal: channels }[decay];
        checkKept(device, opOf(kind), (on) => ({
          ...{ q: zeros(on, [...rows, K], 'bf16'), k: zeros(on, [...rows, K], 'bf16') },
          ...{ v: zeros(on, [...rows, V], 'bf16'), g: gateShape && zeros(on, gateShape) },
          ...(read && { u: zeros(on, [H, K]) }),
        }));
      },
    );
  }
}

testOnGpu('head sizes without a kernel are refused, with those that have one', async (device) => {
  const x = empty(device, [1, 8, 1, 300], 'bf16');
  const call = () =>
    runRecurrence(gatedLinear('identity'), { q: x, k: x, v: x, g: null }, { resets: null, h0: null });
  assert.throws(call, (error: unknown) => {
    assert.instance(error, LongscanError);
    return /E-CUDA-KERNEL.*K = 300.*multiple of 8 up to 256.*Fix/.test((error as LongscanError).message);
  });
});

test.run();
