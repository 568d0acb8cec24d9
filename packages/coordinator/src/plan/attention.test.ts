import { type AttentionTrace, jobSpecSchema } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type AttentionStrategyCost, planAttention } from './attention.js';
import { layOut } from './layout.js';
import { loadAttentionStrategies } from './strategies.js';

const link = { latencyS: 1e-5, gapS: 1e-6, bandwidthBytesPerS: 1e9 };
const installed = await loadAttentionStrategies();

const base: AttentionTrace = {
  ...{ layer: 1, numSequences: 1, numHeads: 8, numKeyHeads: 8, keySize: 16, valueSize: 16 },
  ...{ window: null, chunk: null },
};

interface Keys {
  readonly sp?: number;
  readonly attentionStrategy?: string;
  readonly deterministic?: boolean;
  readonly packing?: boolean;
}

function planOf(keys: Keys, calls: readonly AttentionTrace[], strategies: readonly AttentionStrategyCost[]) {
  const { sp = 4, attentionStrategy = 'auto', deterministic = false, packing = false } = keys;
  const job = jobSpecSchema.parse({
    job: { deterministic },
    data: { path: '/text', sequenceLength: 1024, packing },
    parallel: { sp, attentionStrategy },
    model: {
      chunk: 64,
      mlp: 0,
      layers: ['gla', 'softmax-attention'].map((use) => ({ use, options: {}, file: null })),
    },
  });
  const layers = job.model.layers.map(({ use }) => ({ name: use, sliceMultiple: 1 }));
  return planAttention(job, layOut(job), { attentions: calls, layers }, strategies, link);
}

test('auto takes the strategy that is modelled fastest of those that can', () => {
  const { strategy, cost, modelled } = planOf({}, [base], installed);
  assert.equal(modelled.map((row) => row.strategy).sort(), [
    'head-all-to-all',
    'kv-all-gather',
    'ring-attention',
  ]);
  assert.is(strategy, modelled[0]!.strategy);
  assert.equal(cost, modelled[0]);
  assert.ok(modelled.every((row, i) => i === 0 || row.seconds >= modelled[i - 1]!.seconds));
  const few = planOf({}, [base, { ...base, numKeyHeads: 2 }], installed);
  assert.not.ok(few.modelled.some((row) => row.strategy === 'head-all-to-all'));
  assert.is(planOf({ attentionStrategy: 'ring-attention' }, [base], installed).strategy, 'ring-attention');
});

test('one rank, or a model without attention: nothing travels', () => {
  const alone = planOf(
    { sp: 1, attentionStrategy: 'head-all-to-all' },
    [{ ...base, numHeads: 3 }],
    installed,
  );
  assert.is(alone.strategy, 'head-all-to-all');
  assert.equal(alone.cost.bytesSentByRank, [0]);
  assert.is(alone.cost.seconds, 0);
  const none = planOf({}, [], installed);
  assert.equal(none.modelled, []);
  assert.equal(none.cost.bytesSentByRank, [0, 0, 0, 0]);
});

test('heads that do not divide are refused by layer, with what works', () => {
  const call = { ...base, numHeads: 6, numKeyHeads: 2 };
  assert.throws(
    () => planOf({ attentionStrategy: 'head-all-to-all' }, [base, call], installed),
    (error: Error) =>
      error.message ===
      'error[E-STRATEGY] parallel.attentionStrategy: "head-all-to-all" with layer 1 (softmax-attention), which has 6 query heads and 2 key heads, not all divisible by 4 ranks, expected a strategy that can run it. Fix: parallel.attentionStrategy = "kv-all-gather", or parallel.attentionStrategy = "ring-attention", or parallel.sp = 2',
  );
});

test('deterministic mode allows what attends unit by unit', () => {
  const { modelled, cost } = planOf({ deterministic: true }, [base], installed);
  assert.equal(
    modelled.map(({ strategy }) => strategy),
    ['kv-all-gather'],
  );
  // 8 units of 128 tokens: rank 3 returns gradients of 6 slices of 256 tokens by each of its 2 units.
  const slice = 4 * 256 * 8 * (16 + 16);
  assert.is(cost.bytesSentByRank[3], 2 * 3 * slice);
});

test('all calls of a step are counted, and positions where documents are packed', () => {
  const bytes = (keys: Keys, calls: readonly AttentionTrace[]) =>
    planOf({ sp: 2, attentionStrategy: 'head-all-to-all', ...keys }, calls, installed).cost.bytesSentByRank;
  const once = bytes({}, [base]);
  assert.equal(
    bytes({}, [base, base]),
    once.map((sent) => 2 * sent),
  );
  assert.equal(
    bytes({ packing: true }, [base]),
    once.map((sent) => sent + 4 * 512),
  );
});

test.run();
