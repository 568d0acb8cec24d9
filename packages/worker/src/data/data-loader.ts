import type { Plan, Slice } from '../protocol/plan.js';
import { type Batch, sliceBatch, type Window } from './batch.js';
import { BatchSchedule, type DataPosition } from './batch-schedule.js';
import { CarriedSchedule } from './carried-schedule.js';
import { openText, type TextPart, type TextParts } from './text-source.js';

/** Gives one rank its batches, from the plan alone. Ranks with the same dp index get slices of the same sequences. */
export class DataLoader {
  readonly #plan: Plan;
  readonly #slice: Slice;
  readonly #dpIndex: number;
  readonly #parts: TextParts;
  readonly #schedule: BatchSchedule | CarriedSchedule;

  /** Opens the text; throws E-DATA-* when it is missing or too short. */
  constructor(plan: Plan, rank: number) {
    const { job, data } = plan.jobSpec;
    this.#plan = plan;
    this.#slice = plan.slices[rank % plan.mesh.sp]!;
    this.#dpIndex = Math.floor(rank / plan.mesh.sp);
    this.#parts = openText(data);
    const text = { ...data, numBytes: this.#parts.training.numBytes };
    this.#schedule = data.carry ? new CarriedSchedule(text) : new BatchSchedule({ ...text, seed: job.seed });
  }

  /** The micro-batches of `step` (counted from 0) for this rank. */
  trainingBatches(step: number): Batch[] {
    const { batchSize, sequenceLength, accumulate } = this.#plan.jobSpec.data;
    const { sequencesPerRank } = this.#plan;
    const numSequences = sequencesPerRank / accumulate;
    return Array.from({ length: accumulate }, (_, micro) => {
      const first = this.#dpIndex * sequencesPerRank + micro * numSequences;
      const windows = Array.from({ length: numSequences }, (_, i) => ({
        start: this.#schedule.windowStart(step, first + i),
        numTokens: sequenceLength,
      }));
      return this.#cut(windows, batchSize * sequenceLength, 'training');
    });
  }

  /**
   * Batches that together hold the held-out text once over all dp ranks; empty without one. Every rank gets equally
   * many, of as many sequences each, filled up with padding: all ranks must meet in the same collectives.
   */
  validationBatches(): Batch[] {
    const { validation } = this.#parts;
    if (validation === null) return [];
    const { sequenceLength, accumulate } = this.#plan.jobSpec.data;
    const numTokens = validation.numBytes - 1;
    const perBatch = this.#plan.sequencesPerRank / accumulate;
    const numBatches = Math.ceil(numTokens / sequenceLength / (perBatch * this.#plan.mesh.dp));
    return Array.from({ length: numBatches }, (_, i) => {
      const first = (i * this.#plan.mesh.dp + this.#dpIndex) * perBatch;
      const windows = Array.from({ length: perBatch }, (_, j) => {
        const start = (first + j) * sequenceLength;
        return { start, numTokens: Math.max(0, Math.min(sequenceLength, numTokens - start)) };
      });
      return this.#cut(windows, numTokens, 'validation');
    });
  }

  /** Tokens that the steps before `step` (counted from 0) have read of the text that its sequences go on with. */
  tokensBefore(step: number): number {
    return this.#schedule.tokensBefore(step);
  }

  /** What the training sequences are cut from. */
  get trainingText(): TextPart {
    return this.#parts.training;
  }

  /** Where the training data stands before `step`, for the manifest. */
  position(step: number): DataPosition {
    return this.#schedule.position(step);
  }

  close(): void {
    this.#parts.close();
  }

  #cut(windows: readonly Window[], numValidTokens: number, part: 'training' | 'validation'): Batch {
    const { vocabSize } = this.#plan.jobSpec.model;
    return sliceBatch({ text: this.#parts[part]!, windows, slice: this.#slice, vocabSize, numValidTokens });
  }
}
