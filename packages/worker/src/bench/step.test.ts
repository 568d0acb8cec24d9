import { openCpuDevice } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { jobSpecSchema } from '../protocol/job-spec.js';
import type { Plan } from '../protocol/plan.js';
import { partOf, sharesOf } from './op-categories.js';
import { peakFlopsOfGpu } from './peak-flops.js';
import { randomBatches } from './random-batch.js';

const jobSpec = (model: object = {}, data: object = {}) =>
  jobSpecSchema.parse({
    model: { mlp: 8, layers: [{ use: 'gla', options: {}, file: null }], ...model },
    data: { path: 'unread', ...data },
  });

/** What `randomBatches` reads of a plan: T tokens a sequence in slices of `length`. */
function planOf(T: number, length: number, sp: number, dp: number, spec: ReturnType<typeof jobSpec>): Plan {
  const slices = Array.from({ length: sp }, (_, i) => ({
    start: i * length,
    length,
    numTokens: Math.min(length, T - i * length),
  }));
  const sequencesPerRank = spec.data.batchSize / dp;
  return { jobSpec: spec, mesh: { sp, dp, numRanks: sp * dp }, slices, sequencesPerRank } as unknown as Plan;
}

/** Functions of the addon that put nothing on a stream, or only around a step. */
const notOps = [
  /^(context|cuda|gate|cpu|gemm|stopwatch|trace|graph)/,
  /^(stream(?!Wait)|tensor(?!Write))/,
  /(Bytes|States)$/,
];

test('parts of a step ~> every op of the addon is counted as something', () => {
  const device = openCpuDevice();
  const names = Object.keys(device.native).filter((name) => name !== 'arities');
  device.close();
  assert.ok(names.length > 100);
  const uncounted = names.filter(
    (name) => partOf(name) === 'other' && !notOps.some((pattern) => pattern.test(name)),
  );
  assert.equal(uncounted, []);
  for (const [name, part] of [
    ['linearWeightGradient', 'gemm'],
    ['gatedLinearCudaBackward', 'recurrence'],
    ['rmsNormForward', 'pointwise'],
    ['crossEntropyForward', 'loss'],
    ['adamwUpdate', 'optimizer'],
    ['streamWait', 'communication'],
    ['graphLaunch', 'other'],
  ] as const)
    assert.is(partOf(name), part);
});

test('parts of a step ~> shares of a profile add up to one, what no op took is idle', () => {
  const ops = {
    linearForward: { count: 2, ms: 6, bytes: 8 },
    linearInputGradient: { count: 1, ms: 1, bytes: 4 },
    what: { count: 1, ms: 1, bytes: 0 },
  };
  const shares = sharesOf({ wholeMs: 10, ops });
  assert.equal(
    { ...shares },
    {
      ...{ gemm: 0.7, recurrence: 0, pointwise: 0, loss: 0, optimizer: 0, communication: 0, other: 0.1 },
      idle: 0.2,
    },
  );
});

test('random batches ~> ranks hold slices of the same sequences, labelled by the token that follows', () => {
  const spec = jobSpec({ vocabSize: 1000 }, { batchSize: 4, accumulate: 2, sequenceLength: 10 });
  const whole = randomBatches(planOf(10, 10, 1, 1, spec), 0);
  assert.is(whole.length, 2);
  const [tokens, labels] = [whole.flatMap((one) => [...one.tokens]), whole.flatMap((one) => [...one.labels])];
  assert.is(whole[0]!.numValidTokens, 40);
  assert.ok(new Set(tokens).size > 30 && tokens.every((token) => token >= 0 && token < 1000));
  for (let b = 0; b < 4; b++)
    assert.equal(labels.slice(10 * b, 10 * b + 9), tokens.slice(10 * b + 1, 10 * b + 10));

  // Two slices of six tokens, the last two of them padding; two replicas.
  const plan = planOf(10, 6, 2, 2, spec);
  for (let rank = 0; rank < 4; rank++) {
    for (const [micro, batch] of randomBatches(plan, rank).entries()) {
      const sequence = 2 * Math.floor(rank / 2) + micro;
      const [start, count] = rank % 2 === 0 ? [0, 6] : [6, 4];
      const padding = (value: number) => new Array<number>(6 - count).fill(value);
      const from = 10 * sequence + start;
      assert.equal([...batch.tokens], [...tokens.slice(from, from + count), ...padding(0)]);
      assert.equal([...batch.labels], [...labels.slice(from, from + count), ...padding(-1)]);
      assert.is(batch.numValidTokens, 40);
    }
  }
});

test('random batches ~> of the masked objective some tokens are hidden, and only they are labels', () => {
  const spec = jobSpec({ vocabSize: 50, objective: 'masked' }, { sequenceLength: 1000, maskRate: 0.25 });
  const [batch] = randomBatches(planOf(1000, 1000, 1, 1, spec), 0);
  const { tokens, labels, numValidTokens } = batch!;
  assert.ok(numValidTokens > 200 && numValidTokens < 300, `${numValidTokens}`);
  assert.is(labels.filter((label) => label !== -1).length, numValidTokens);
  labels.forEach((label, i) => {
    assert.is(tokens[i] === 50, label !== -1);
  });
});

test('peaks ~> by the name of the GPU; what is not known is not guessed', () => {
  assert.is(peakFlopsOfGpu('NVIDIA H200', 'bf16'), 989e12);
  assert.is(peakFlopsOfGpu('NVIDIA H100 80GB HBM3', 'bf16'), 989e12);
  assert.is(peakFlopsOfGpu('NVIDIA H200', 'f32'), 67e12);
  assert.is(peakFlopsOfGpu('NVIDIA H100 PCIe', 'bf16'), null);
  assert.is(peakFlopsOfGpu('Fake GPU', 'bf16'), null);
});

test.run();
