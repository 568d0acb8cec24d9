import type { DType } from '@longscan/kernels';
import { sliceBatch } from '../data/batch.js';
import type { Batch, TextPart } from '../data/index.js';
import { numLabels, type Window } from '../data/window.js';
import type { JobSpec } from '../protocol/job-spec.js';
import { type SliceRange, slicesOf } from '../sequence/slice-group.js';
import { type StepResult, trainStep } from '../training/train-step.js';
import type { Training } from '../training/training.js';
import { openTrainingRanks } from './training-ranks.js';

export interface RanksOfDocuments {
  /** Tokens of each sp rank's slice. */
  readonly lengths: readonly number[];
  readonly strategy?: string;
  readonly dtype?: DType;
  readonly dp?: number;
}

/** A rank's slice of packed windows, with labels for `numValidTokens` tokens in all; vocabulary 40. */
export function packedBatch(
  text: TextPart,
  windows: readonly Window[],
  { start, length }: SliceRange,
  numValidTokens: number,
): Batch {
  const slice = { start, length, numTokens: length };
  return sliceBatch({ text, windows, slice, vocabSize: 40, numValidTokens, packing: true });
}

/** Opens ranks, gives them to `body`, closes them. */
export async function withRanks<R>(
  spec: JobSpec,
  { lengths, strategy = 'ring', dtype = 'f64', dp = 1 }: RanksOfDocuments,
  body: (ranks: readonly Training[], sliceOf: (rank: number) => SliceRange) => Promise<R>,
): Promise<R> {
  const ranks = await openTrainingRanks(spec, { lengths, strategy, dtype, dp });
  const slices = slicesOf(lengths);
  try {
    return await body(ranks, (rank) => slices[rank % lengths.length]!);
  } finally {
    for (const { device } of ranks) device.close();
  }
}

export interface DocumentTraining extends RanksOfDocuments {
  readonly text: TextPart;
  /** The sequences of every step. */
  readonly windows: readonly Window[];
  /** Micro-batches of a step; default 1. */
  readonly accumulate?: number;
  readonly numSteps?: number;
}

/** Trains at a rate of 0.01; rank 0's results of every step, its parameters' last gradients, and every rank's parameters. */
export async function trainOnDocuments(spec: JobSpec, training: DocumentTraining) {
  const { text, windows, accumulate = 1, numSteps = 1, dp = 1, lengths } = training;
  const numValidTokens = windows.reduce((sum, window) => sum + numLabels(text, window), 0);
  const perBatch = windows.length / dp / accumulate;
  return withRanks(spec, training, async (ranks, sliceOf) => {
    const batchesOf = (rank: number) => {
      const first = Math.floor(rank / lengths.length) * perBatch * accumulate;
      return Array.from({ length: accumulate }, (_, micro) => {
        const begin = first + micro * perBatch;
        return packedBatch(text, windows.slice(begin, begin + perBatch), sliceOf(rank), numValidTokens);
      });
    };
    const steps: StepResult[] = [];
    for (let step = 1; step <= numSteps; step++) {
      const all = ranks.map((one, rank) =>
        trainStep(one, batchesOf(rank), step, 1e-2, { stop: false, save: false }),
      );
      steps.push((await Promise.all(all))[0]!);
    }
    for (const { parameters } of ranks) parameters.awaitUpdates();
    const { parameters } = ranks[0]!;
    const gradients = await parameters.gradientsOnly().readNumbers();
    const weights = await Promise.all(ranks.map((rank) => rank.parameters.values.readNumbers()));
    return { steps, gradients, weights };
  });
}
