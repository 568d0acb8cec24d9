import type { Plan, Slice } from '../protocol/plan.js';
import type { Texts } from '../protocol/texts.js';
import { type Batch, sliceBatch } from './batch.js';
import { BatchSchedule, type DataPosition } from './batch-schedule.js';
import { CarriedSchedule } from './carried-schedule.js';
import { maskedBatch } from './masked-batch.js';
import { heldOutStep, Masking } from './masking.js';
import { allWindows, documentWindows, fullWindows, type TextCut } from './text-cut.js';
import type { TextPart } from './text-part.js';
import { openText, type TextParts } from './text-source.js';
import { numLabels, type Window } from './window.js';

/** Gives one rank its batches, from the plan alone. Ranks with the same dp index get slices of the same sequences. */
export class DataLoader {
  readonly #plan: Plan;
  readonly #slice: Slice;
  readonly #dpIndex: number;
  readonly #parts: TextParts;
  readonly #schedule: BatchSchedule | CarriedSchedule;
  /** Null under the causal objective. */
  readonly #masking: Masking | null;
  /** Null without held-out text. */
  readonly #validationCut: TextCut | null;

  /** Opens the text, which has to be that of `texts` (`openText`); throws E-DATA-* when it is another, missing or too short. */
  constructor(plan: Plan, rank: number, texts: Texts | null = null) {
    const { job, data, model } = plan.jobSpec;
    this.#plan = plan;
    this.#slice = plan.slices[rank % plan.mesh.sp]!;
    this.#dpIndex = Math.floor(rank / plan.mesh.sp);
    this.#parts = openText(data, texts);
    this.#masking = model.objective === 'masked' ? new Masking(job.seed, data.maskRate) : null;
    const { training, validation } = this.#parts;
    const { batchSize, sequenceLength } = data;
    const cutDocuments = (text: TextPart) =>
      text.documents === null || data.packing ? null : documentWindows(text, text.documents, sequenceLength);
    this.#schedule = data.carry
      ? new CarriedSchedule({ numBytes: training.numBytes, sequenceLength, batchSize })
      : new BatchSchedule({
          cut: cutDocuments(training) ?? fullWindows(training.numBytes, sequenceLength, job.seed),
          ...{ batchSize, seed: job.seed },
        });
    this.#validationCut =
      validation && (cutDocuments(validation) ?? allWindows(validation.numBytes, sequenceLength));
  }

  /** The micro-batches of `step` (counted from 0) for this rank. */
  trainingBatches(step: number): Batch[] {
    const { batchSize, accumulate } = this.#plan.jobSpec.data;
    const { sequencesPerRank } = this.#plan;
    const { training } = this.#parts;
    // Of all ranks: each knows by itself what the sum of losses is divided by.
    const windows = Array.from({ length: batchSize }, (_, i) =>
      this.#hide(this.#schedule.window(step, i), step, i),
    );
    const numValidTokens = totalLabels(training, windows);
    const perBatch = sequencesPerRank / accumulate;
    return Array.from({ length: accumulate }, (_, micro) => {
      const first = this.#dpIndex * sequencesPerRank + micro * perBatch;
      return this.#cut(windows.slice(first, first + perBatch), numValidTokens, training);
    });
  }

  /**
   * Batches that together hold the held-out text once over all dp ranks; empty without one. Every rank gets equally
   * many, of as many sequences each, filled up with padding: all ranks must meet in the same collectives.
   */
  validationBatches(): Batch[] {
    const { validation } = this.#parts;
    const cut = this.#validationCut;
    if (validation === null || cut === null) return [];
    const { dp } = this.#plan.mesh;
    const perBatch = this.#plan.sequencesPerRank / this.#plan.jobSpec.data.accumulate;
    const windows = Array.from({ length: cut.numWindows }, (_, i) =>
      this.#hide(cut.window(0, i), heldOutStep, i),
    );
    const numValidTokens = totalLabels(validation, windows);
    const numBatches = Math.ceil(cut.numWindows / (perBatch * dp));
    return Array.from({ length: numBatches }, (_, i) => {
      const first = (i * dp + this.#dpIndex) * perBatch;
      const mine = Array.from({ length: perBatch }, (_, j) => windows[first + j] ?? padding);
      return this.#cut(mine, numValidTokens, validation);
    });
  }

  /** Tokens that the steps before `step` (counted from 0) have read of the text that its sequences go on with. */
  tokensBefore(step: number): number {
    return this.#schedule.tokensBefore(step);
  }

  /** Tokens of all sequences of `step` (counted from 0), padding left out. */
  numTokens(step: number): number {
    const { batchSize } = this.#plan.jobSpec.data;
    let sum = 0;
    for (let i = 0; i < batchSize; i++) sum += this.#schedule.window(step, i).numTokens;
    return sum;
  }

  /** What the training sequences are cut from. */
  get trainingText(): TextPart {
    return this.#parts.training;
  }

  /** Which texts these are, for the manifest. */
  get texts(): Texts {
    return this.#parts.texts;
  }

  /** Where the training data stands before `step`, for the manifest. */
  position(step: number): DataPosition {
    return this.#schedule.position(step);
  }

  close(): void {
    this.#parts.close();
  }

  #cut(windows: readonly Window[], numValidTokens: number, text: TextPart): Batch {
    const { vocabSize } = this.#plan.jobSpec.model;
    const { packing } = this.#plan.jobSpec.data;
    const options = { text, windows, slice: this.#slice, vocabSize, numValidTokens, packing };
    if (this.#masking === null) return sliceBatch(options);
    return maskedBatch({ ...options, paddedLength: this.#plan.paddedLength });
  }

  /** What the objective hides of a sequence. */
  #hide(window: Window, step: number, index: number): Window {
    return this.#masking?.hide(window, step, index) ?? window;
  }
}

const padding: Window = { start: 0, numTokens: 0 };

function totalLabels(text: TextPart, windows: readonly Window[]): number {
  return windows.reduce((sum, window) => sum + numLabels(text, window), 0);
}
