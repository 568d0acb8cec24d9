import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runRecurrence } from '../../autograd/run-recurrence.js';
import { LongscanError } from '../../errors.js';
import { empty, zeros } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkRecurrenceOnGpu } from '../../testing/index.js';
import { type DeltaRuleOptions, deltaRule } from './index.js';
import { type Case, problem } from './problem.js';

const plainKinds: readonly DeltaRuleOptions[] = [{}, { gate: 'scalar' }, { gate: 'diagonal' }];

/** Keys that erase of their own, by the same kernels. */
const ownKinds: readonly DeltaRuleOptions[] = [{ erase: 'own' }, { gate: 'scalar', erase: 'own' }];

const otherKinds: readonly DeltaRuleOptions[] = [
  { gate: 'diagonal', erase: 'own' },
  { gate: 'diagonal', erase: 'dplr', scale: 1 },
  { erase: 'dplr' },
  { gate: 'scalar', rowsPerToken: 3 },
  { gate: 'diagonal', rowsPerToken: 2 },
  { gate: 'diagonal', read: 'value' },
  { gate: 'scalar', read: 'value', rowsPerToken: 2 },
  { gate: 'scalar', erase: 'dplr', read: 'value' },
];

const cases: readonly Case[] = [
  { B: 2, T: 1, H: 1, K: 64, V: 64, gates: [-1, 0] },
  { B: 2, T: 63, H: 2, K: 32, V: 64, gates: [-0.5, 0] },
  { B: 1, T: 200, H: 1, K: 128, V: 128, gates: [-1e-3, -1e-4] },
  { B: 1, T: 129, H: 2, K: 64, V: 128, gates: [-20, -1e-4] },
  { B: 2, T: 150, H: 1, K: 128, V: 64, gates: [-1, 0], starts: [0, 1, 2, 31, 64, 100, 147] },
];

/** Head sizes that only the token-by-token kernels have. */
const uglyCases: readonly Case[] = [
  { B: 2, T: 63, H: 2, K: 5, V: 19, gates: [-0.5, 0] },
  { B: 1, T: 40, H: 1, K: 200, V: 300, gates: [-0.1, 0], starts: [30] },
];

/** So few heads and so many tokens that a device cuts slices into segments, the whole and its parts; the widest heads. */
const longCases: readonly Case[] = [
  { B: 1, T: 4300, H: 1, K: 128, V: 64, gates: [-0.02, 0] },
  { B: 2, T: 3000, H: 1, K: 128, V: 64, gates: [-0.02, 0], starts: [1700] },
  { B: 1, T: 100, H: 1, K: 256, V: 512, gates: [-0.1, 0] },
];

const typed = ['q', 'k', 'v', 'b', 'e'];

for (const [kinds, shapes] of [
  [
    [...plainKinds, ...ownKinds],
    [...cases, ...uglyCases],
  ],
  [otherKinds, [cases[1]!, cases[4]!, ...uglyCases]],
] as const) {
  for (const options of kinds) {
    testOnGpu(JSON.stringify(options), async (device) => {
      for (const [i, shape] of shapes.entries()) {
        const check = problem(options, shape, 10 * i);
        for (const dtype of ['bf16', 'f32'] as const) {
          await checkRecurrenceOnGpu(device, check, { dtype, typed, decays: ['g'] });
        }
      }
    });
  }
}

for (const options of [...plainKinds, ...ownKinds]) {
  testOnGpu(`${JSON.stringify(options)} in segments`, async (device) => {
    for (const [i, shape] of longCases.entries()) {
      const check = problem(options, shape, 10 * i);
      await checkRecurrenceOnGpu(device, check, { dtype: 'bf16', typed, decays: ['g'] });
    }
  });
}

testOnGpu('the widest heads of the chunkwise kernels do not go token by token', async (device) => {
  const [K, V] = [256, 512];
  const [q, v] = [zeros(device, [1, 8, 1, K], 'bf16'), zeros(device, [1, 8, 1, V], 'bf16')];
  const inputs = { q, k: q, v, beta: null, g: null, b: null, e: null };
  const before = device.flops;
  runRecurrence(deltaRule(), inputs, { resets: null, h0: null });
  // Three products with the state, and two inside a chunk, which tokens by themselves do not have.
  assert.is(device.flops - before, 8 * (2 * 3 * K * V + 2 * 64 * (K + V)));
});

testOnGpu('head sizes without a kernel are refused, with those that have one', async (device) => {
  const x = empty(device, [1, 8, 1, 300], 'f32');
  const inputs = { q: x, k: x, v: x, beta: null, g: null, b: null, e: null };
  assert.throws(
    () => runRecurrence(deltaRule(), inputs, { resets: null, h0: null }),
    (error: unknown) => {
      assert.instance(error, LongscanError);
      return /E-CUDA-KERNEL.*K = 300.*only for K up to 256, V up to 512.*Fix/.test(
        (error as LongscanError).message,
      );
    },
  );
});

test.run();
