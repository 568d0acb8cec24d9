import { jobSpecSchema, type Plan } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatPlan } from './format-plan.js';

function planWith(uses: readonly string[]): Plan {
  const jobSpec = jobSpecSchema.parse({
    job: { name: 'tiny' },
    data: { path: '/text' },
    model: { dModel: 64, mlp: 0, layers: uses.map((use) => ({ use, options: {}, file: null })) },
  });
  return {
    jobSpec,
    mesh: { sp: 2, dp: 1, numRanks: 2 },
    slices: [
      { start: 0, length: 512, numTokens: 512 },
      { start: 512, length: 512, numTokens: 488 },
    ],
    paddedLength: 1024,
    padTokens: 24,
    sequencesPerRank: 1,
    strategy: 'all-scan',
    attentionStrategy: 'kv-all-gather',
    scans: uses.map(() => ({ strategy: 'all-scan', blocks: 2, ranksPerNode: 1 })),
    ranksPerNode: 1,
    gradientBucketBytes: 2 ** 20,
    perRank: {
      numParameters: 1_234_567,
      parameterBytes: 4_938_268,
      gradientBytes: 4_938_268,
      optimizerBytes: 9_876_536,
      activationBytes: 2 ** 30,
      communicationBytes: 2 ** 20,
      peakBytes: 2 ** 31,
      reservedBytes: 2.2 * 2 ** 30,
      stateBytes: 8192,
      flopsPerStep: 5e9,
    },
    modelledScans: [
      {
        ...{
          layers: uses.map((_, layer) => layer),
          kinds: ['diagonal'],
          stateBytes: 4096,
          transitionBytes: 64,
        },
        besideS: 2e-3,
        candidates: [
          {
            ...{ strategy: 'all-scan', blocks: 2, ranksPerNode: 1, seconds: 1e-3, exposedS: 5e-4 },
            ...{ bytesSent: 8192, isBound: false },
          },
          {
            ...{ strategy: 'all-scan', blocks: 4, ranksPerNode: 1, seconds: 1e-3, exposedS: 6e-4 },
            ...{ bytesSent: 8192, isBound: false },
          },
          {
            ...{ strategy: 'ring', blocks: 1, ranksPerNode: 1, seconds: 2e-3, exposedS: 1e-3 },
            ...{ bytesSent: 8192, isBound: true },
          },
        ],
      },
    ],
    modelled: [
      { strategy: 'all-scan', seconds: 1.5e-3, bytesSentByRank: [8192, 8192] },
      { strategy: 'ring', seconds: 2e-3, bytesSentByRank: [8192, 0] },
    ],
    modelledAttention: [],
    notes: ['something worth telling'],
  };
}

test('a plan as people see it', () => {
  assert.equal(formatPlan(planWith(['gla', 'lightning', 'gla', 'lightning'])).split('\n'), [
    'job          tiny',
    'model        2 x (gla, lightning), width 64',
    'ranks        sp 2 x dp 1 = 2, 1 a node',
    'sequence     1024 tokens in 2 slices of 512',
    'each rank    1 sequences a step',
    'parameters   1.23M (4.7 MiB)',
    'gradients    4.7 MiB, summed over ranks in buckets of 1.0 MiB or more',
    'optimizer    9.4 MiB',
    'activations  1.0 GiB',
    'messages     1.0 MiB',
    'peak memory  2.0 GiB, 2.2 GiB taken',
    'states       8.0 KiB',
    'arithmetic   5.00G FLOP a step',
    '',
    'strategy  a step (modelled)  sent, most  sent, least',
    'all-scan            1.50 ms     8.0 KiB      8.0 KiB  runs',
    'ring                2.00 ms     8.0 KiB          0 B',
    '',
    'layers 0-3: diagonal, 4.0 KiB of state, 64 B of M, 2.00 ms of computation beside the scans',
    'scans of a layer    a step (modelled)     exposed  sent, most',
    'all-scan, 2 blocks            1.00 ms      500 us     8.0 KiB  runs',
    'ring                          2.00 ms  >= 1.00 ms     8.0 KiB',
    '',
    'note: something worth telling',
  ]);
});

test('chains are said to be what carries them, and why', () => {
  const chains = { launchS: 2e-5, latencyS: 4e-6, bandwidthBytesPerS: 1e11 };
  const fabric = { name: 'wires', latencyS: 1e-5, gapS: 1e-5, bandwidthBytesPerS: 1e9, chains };
  const lines = (plan: Partial<Plan>) =>
    formatPlan({ ...planWith(['gla']), ...plan })
      .split('\n')
      .filter((line) => /^(links|chains) /.test(line));
  const links = 'links        wires: latency 10.0 us, gap 10.0 us, bandwidth 1.00 GB/s';
  assert.equal(lines({ fabric }), [links]);
  assert.equal(lines({ fabric, chains: { carrier: 'mapped-memory', reason: 'one host' } }), [
    links,
    'chains       mapped memory: one host; launch 20.0 us, hop 4.00 us, bandwidth 100 GB/s',
  ]);
  const dense = { ...fabric, chains: { ...chains, denseFlopsPerS: 8e11 } };
  assert.match(
    lines({ fabric: dense, chains: { carrier: 'mapped-memory', reason: 'one host' } })[1]!,
    /GB\/s, dense M at 0\.800 TFLOP\/s$/,
  );
  assert.equal(lines({ fabric, chains: { carrier: 'messages', reason: 'switched off' } }), [
    links,
    'chains       messages: switched off',
  ]);
});

test('strategies for softmax attention are shown where the model has some', () => {
  const plan = {
    ...planWith(['gla', 'softmax-attention']),
    modelledScans: [],
    modelledAttention: [
      { strategy: 'kv-all-gather', seconds: 1e-3, bytesSentByRank: [4096, 8192] },
      { strategy: 'ring-attention', seconds: 3e-3, bytesSentByRank: [8192, 8192] },
    ],
  };
  assert.equal(formatPlan(plan).split('\n').slice(17, 21), [
    '',
    'attention strategy  a step (modelled)  sent, most  sent, least',
    'kv-all-gather                 1.00 ms     8.0 KiB      4.0 KiB  runs, counted above',
    'ring-attention                3.00 ms     8.0 KiB      8.0 KiB',
  ]);
});

test('layers are written as the pattern that they repeat', () => {
  const line = (uses: readonly string[]) => formatPlan(planWith(uses)).split('\n')[1];
  assert.is(line(['gla']), 'model        gla, width 64');
  assert.is(line(['gla', 'gla', 'gla']), 'model        3 x gla, width 64');
  assert.is(line(['gla', 'gla', 'lightning']), 'model        gla, gla, lightning, width 64');
});

test.run();
