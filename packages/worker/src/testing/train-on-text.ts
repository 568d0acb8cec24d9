import type { DType } from '@longscan/kernels';
import { randomSource } from '@longscan/kernels/testing';
import type { Batch } from '../data/index.js';
import type { JobSpec } from '../protocol/job-spec.js';
import { type StepResult, trainStep } from '../training/train-step.js';
import { openTrainingRanks } from './training-ranks.js';

const numRows = 2;
const textLength = 1000;
const next = randomSource(5);
/** Two rows of tokens below 40, small ones more often. */
const text: readonly Int32Array[] = Array.from({ length: numRows }, () =>
  Int32Array.from({ length: textLength }, () => Math.floor(40 * next() * next())),
);

export interface TextTraining {
  /** Tokens of each rank's slice. */
  readonly lengths: readonly number[];
  /** First token of each step's sequences. */
  readonly starts: readonly number[];
  readonly strategy?: string | readonly string[];
  /** Learning rate; at 0 the steps only look. */
  readonly rate?: number;
  readonly dtype?: DType;
}

/**
 * Trains step by step on parts of one text; of each step the first rank's results, and the tensors that each rank holds; of
 * the last one its gradients.
 */
export async function trainOnText(spec: JobSpec, training: TextTraining) {
  const { lengths, starts, strategy = 'ring', rate = 0, dtype = 'f64' } = training;
  const ranks = await openTrainingRanks(spec, { lengths, strategy, dtype });
  const numTokens = numRows * lengths.reduce((sum, length) => sum + length, 0);
  const results: StepResult[] = [];
  const numTensors: number[][] = [];
  let gradients: Float64Array = new Float64Array();
  try {
    for (const [i, start] of starts.entries()) {
      let begin = start;
      const all = ranks.map((rank, r) => {
        rank.carry?.startStep(start);
        const batch = batchOf(begin, lengths[r]!, numTokens);
        begin += lengths[r]!;
        return trainStep(rank, [batch], i + 1, rate, { stop: false, save: false });
      });
      const [first] = await Promise.all(all);
      results.push(first!);
      numTensors.push(ranks.map(({ device }) => device.memory().numTensors));
    }
    gradients = await ranks[0]!.parameters.gradientsOnly().readNumbers();
  } finally {
    for (const { device } of ranks) device.close();
  }
  return { results, numTensors, gradients };
}

/** Tokens [begin, begin + length) of every row. */
export function batchOf(begin: number, sliceLength: number, numValidTokens: number): Batch {
  const cut = (from: number) =>
    Int32Array.from(text.flatMap((row) => [...row.subarray(from, from + sliceLength)]));
  const [tokens, labels] = [cut(begin), cut(begin + 1)];
  return {
    numSequences: numRows,
    sliceLength,
    tokens,
    labels,
    numValidTokens,
    resets: null,
    openTokens: null,
  };
}
