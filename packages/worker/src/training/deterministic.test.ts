import { randomSource } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Batch } from '../data/index.js';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import { openTrainingRanks } from '../testing/training-ranks.js';
import { trainStep, validate } from './train-step.js';

const numSequences = 2;
const segments = 8;
/** Not a multiple of any chunk, vector or block. */
const unitLength = 35;
const sequenceLength = segments * unitLength;
const vocabSize = 40;
const stay = { stop: false, save: false };

interface Run {
  readonly sp: number;
  readonly dp?: number;
  readonly strategy?: string;
  readonly threads?: number;
  readonly accumulate?: number;
  readonly packed?: boolean;
  readonly steps?: number;
}

function specOf(layers: readonly string[], recompute = false): JobSpec {
  return jobSpecSchema.parse({
    model: {
      ...{ dModel: 40, numLayers: layers.length, numHeads: 2, vocabSize, mlp: 52, recompute },
      layers: layers.map((use) => ({ use, options: {}, file: null })),
    },
    data: { path: 'unused', sequenceLength },
  });
}

/** Losses, gradient norms, a validation loss and the weights after some steps, of every rank. */
async function train(spec: JobSpec, run: Run) {
  const { sp, dp = 1, strategy = 'ring', threads = 1, accumulate = 1, packed = false, steps = 20 } = run;
  const length = sequenceLength / sp;
  const lengths = Array<number>(sp).fill(length);
  const ranks = await openTrainingRanks(spec, { lengths, strategy, dp, threads, segments });
  const perRow = numSequences / dp;
  const batchesOf = (step: number, rank: number): Batch[] => {
    const first = Math.floor(rank / sp) * perRow;
    const size = perRow / accumulate;
    return Array.from({ length: accumulate }, (_, i) =>
      cut(step, first + i * size, size, (rank % sp) * length, length, packed),
    );
  };
  try {
    const results = [];
    for (let step = 1; step <= steps; step++) {
      const all = ranks.map((rank, r) => trainStep(rank, batchesOf(step, r), step, 5e-3, stay));
      const found = await Promise.all(all);
      for (const one of found) assert.equal([one.loss, one.clip], [found[0]!.loss, found[0]!.clip]);
      results.push([found[0]!.loss, found[0]!.clip.norm]);
    }
    const held = await Promise.all(ranks.map((rank, r) => validate(rank, batchesOf(99, r))));
    const weights = await Promise.all(ranks.map(({ parameters }) => parameters.values.read()));
    for (const own of weights) assert.equal(Buffer.compare(bytesOf(own), bytesOf(weights[0]!)), 0);
    return { results, held: held[0]!, weights: weights[0]! };
  } finally {
    for (const { device } of ranks) device.close();
  }
}

/** Tokens [begin, begin + length) of some of a step's sequences; packed: documents of all lengths, some of one token. */
function cut(
  step: number,
  first: number,
  count: number,
  begin: number,
  length: number,
  packed: boolean,
): Batch {
  const rows = Array.from({ length: count }, (_, i) => sequence(step, first + i, packed));
  const part = (name: 'tokens' | 'labels' | 'resets') =>
    Int32Array.from(rows.flatMap((row) => [...row[name].subarray(begin, begin + length)]));
  return {
    numSequences: count,
    sliceLength: length,
    tokens: part('tokens'),
    labels: part('labels'),
    numValidTokens: numSequences * sequenceLength,
    resets: packed ? part('resets') : null,
    openTokens: packed ? Int32Array.from(rows, (row) => row.before[begin]!) : null,
  };
}

function sequence(step: number, index: number, packed: boolean) {
  const next = randomSource(1000 * step + index);
  const text = Int32Array.from({ length: sequenceLength + 1 }, () => Math.floor(vocabSize * next() * next()));
  const resets = new Int32Array(sequenceLength);
  const labels = text.slice(1);
  const before = new Int32Array(sequenceLength);
  for (let t = 0; t < sequenceLength; t++) {
    const starts = packed && (t % unitLength === 0 ? next() < 0.3 : next() < 0.02);
    resets[t] = Number(starts);
    before[t] = t === 0 ? 0 : resets[t - 1] === 1 ? 1 : before[t - 1]! + 1;
    if (starts && t > 0) labels[t - 1] = -1;
  }
  return { tokens: text.subarray(0, sequenceLength), labels, resets, before };
}

function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

async function expectSame(spec: JobSpec, common: Omit<Run, 'sp'>, runs: readonly Run[]): Promise<void> {
  const [first, ...others] = runs;
  const expected = await train(spec, { ...common, ...first! });
  assert.ok(expected.results.every(([loss]) => Number.isFinite(loss)));
  for (const run of others) {
    const found = await train(spec, { ...common, ...run });
    const where = JSON.stringify(run);
    assert.equal(found.results, expected.results, where);
    assert.is(found.held, expected.held, where);
    assert.is(Buffer.compare(bytesOf(found.weights), bytesOf(expected.weights)), 0, `${where}: weights`);
  }
}

const meshes: readonly Run[] = [
  { sp: 1 },
  { sp: 2, strategy: 'all-scan' },
  { sp: 4, strategy: 'all-gather' },
  { sp: 8 },
  { sp: 2, dp: 2, strategy: 'all-gather' },
  { sp: 1, dp: 2, threads: 3 },
  { sp: 1, accumulate: 2 },
];
const models = {
  gla: ['gla'],
  mamba2: ['mamba2'],
  'gated-deltanet': ['gated-deltanet'],
  hybrid: ['gla', 'softmax-attention'],
};
for (const [name, layers] of Object.entries(models)) {
  for (const packed of [false, true]) {
    test(`${name}${packed ? ', packed' : ''} ~> the same bits on every mesh after 20 steps`, () =>
      expectSame(specOf(layers), { packed }, meshes));
  }
}

test.run();
