import { randomSource } from '@longscan/kernels/testing';
import * as assert from 'uvu/assert';
import type { Batch } from '../data/index.js';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import { trainStep, validate } from '../training/train-step.js';
import { openTrainingRanks } from './training-ranks.js';

const numSequences = 2;
const segments = 8;
const vocabSize = 40;
const stay = { stop: false, save: false };

/** A training in deterministic mode on ranks of this process. */
export interface UnitTraining {
  readonly sp: number;
  readonly dp?: number;
  readonly strategy?: string;
  /** Compute threads of a rank. */
  readonly threads?: number;
  /** Micro-batches. */
  readonly accumulate?: number;
  /** Documents of any length, some of one token, some begun on a unit's edge. */
  readonly packed?: boolean;
  readonly steps?: number;
}

export interface UnitModel {
  readonly layers: readonly string[];
  /** Of all layers; default: theirs. */
  readonly options?: Readonly<Record<string, number>>;
  /** Tokens of a canonical segment, of which a sequence has 8. */
  readonly unitLength: number;
  readonly recompute?: boolean;
  readonly recomputedBlocks?: number;
}

/** What a training leaves: losses and gradient norms, a validation loss, and the weights. */
export interface Trained {
  readonly results: readonly (readonly number[])[];
  readonly held: number;
  readonly weights: Uint8Array;
}

/** Trains a small model, and checks that all ranks come to the same losses and weights. */
export async function trainByUnit(model: UnitModel, training: UnitTraining): Promise<Trained> {
  const { sp, dp = 1, strategy = 'ring', threads = 1, accumulate = 1, packed = false, steps = 1 } = training;
  const sequenceLength = segments * model.unitLength;
  const length = sequenceLength / sp;
  const lengths = Array<number>(sp).fill(length);
  const spec = specOf(model);
  const ranks = await openTrainingRanks(spec, { lengths, strategy, dp, threads, segments });
  const perMicroBatch = numSequences / dp / accumulate;
  const batchesOf = (step: number, rank: number): Batch[] =>
    Array.from({ length: accumulate }, (_, micro) => {
      const first = (Math.floor(rank / sp) * accumulate + micro) * perMicroBatch;
      const rows = Array.from({ length: perMicroBatch }, (_, i) =>
        sequenceOf(step, first + i, model, packed),
      );
      return sliceOf(rows, (rank % sp) * length, length);
    });
  try {
    const results = [];
    for (let step = 1; step <= steps; step++) {
      const all = await Promise.all(
        ranks.map((rank, r) => trainStep(rank, batchesOf(step, r), step, 5e-3, stay)),
      );
      const [first] = all.map(({ loss, clip }) => [loss, clip.norm, clip.factor]);
      for (const { loss, clip } of all) assert.equal([loss, clip.norm, clip.factor], first);
      results.push(first!);
    }
    const held = await Promise.all(ranks.map((rank, r) => validate(rank, batchesOf(steps + 1, r))));
    const weights = await Promise.all(ranks.map(({ parameters }) => parameters.values.read()));
    const bytes = weights.map((values) => new Uint8Array(values.buffer));
    for (const own of bytes) assert.is(Buffer.compare(own, bytes[0]!), 0);
    return { results, held: held[0]!, weights: bytes[0]! };
  } finally {
    for (const { device } of ranks) device.close();
  }
}

/** The same bits in all that a training leaves. */
export function expectSameBits(found: Trained, expected: Trained, where: string): void {
  assert.ok(
    expected.results.flat().every((value) => Number.isFinite(value)),
    where,
  );
  assert.equal(found.results, expected.results, where);
  assert.is(found.held, expected.held, `${where}: validation`);
  assert.is(Buffer.compare(found.weights, expected.weights), 0, `${where}: weights`);
}

function specOf({ layers, options = {}, unitLength, ...recomputing }: UnitModel): JobSpec {
  return jobSpecSchema.parse({
    model: {
      ...{ dModel: 40, numLayers: layers.length, numHeads: 2, vocabSize, mlp: 52, ...recomputing },
      // The head shares the embedding's weights, which are read on both sides of the model.
      tieEmbeddings: true,
      layers: layers.map((use) => ({ use, options, file: null })),
    },
    data: { path: 'unused', sequenceLength: segments * unitLength },
  });
}

interface Sequence {
  readonly tokens: Int32Array;
  readonly labels: Int32Array;
  readonly resets: Int32Array | null;
  /** Of each token: how many of its document stand before it if no document starts there. */
  readonly before: Int32Array;
}

function sequenceOf(step: number, index: number, { unitLength }: UnitModel, packed: boolean): Sequence {
  const next = randomSource(1000 * step + index);
  const length = segments * unitLength;
  const text = Int32Array.from({ length: length + 1 }, () => Math.floor(vocabSize * next() * next()));
  const labels = text.slice(1);
  const resets = new Int32Array(length);
  const before = new Int32Array(length);
  for (let t = 0; t < length; t++) {
    const chance = !packed ? 0 : t % unitLength === 0 ? 0.3 : 0.03;
    resets[t] = Number(next() < chance);
    before[t] = t === 0 ? 0 : resets[t - 1] === 1 ? 1 : before[t - 1]! + 1;
    if (resets[t] === 1 && t > 0) labels[t - 1] = -1;
  }
  return { tokens: text.subarray(0, length), labels, resets: packed ? resets : null, before };
}

/** Tokens [begin, begin + length) of some sequences. */
function sliceOf(rows: readonly Sequence[], begin: number, length: number): Batch {
  const part = (of: (row: Sequence) => Int32Array) =>
    Int32Array.from(rows.flatMap((row) => [...of(row).subarray(begin, begin + length)]));
  const packed = rows[0]!.resets !== null;
  return {
    numSequences: rows.length,
    sliceLength: length,
    tokens: part(({ tokens }) => tokens),
    labels: part(({ labels }) => labels),
    numValidTokens: numSequences * rows[0]!.tokens.length,
    resets: packed ? part(({ resets }) => resets!) : null,
    openTokens: packed ? Int32Array.from(rows, ({ before }) => before[begin]!) : null,
  };
}
