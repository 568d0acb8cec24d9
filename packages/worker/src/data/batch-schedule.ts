import { permutation } from './permutation.js';
import type { TextCut } from './text-cut.js';
import type { Window } from './window.js';

/** A point in the training data, for people and manifests; the schedule itself needs only the step. */
export interface DataPosition {
  /** Whole passes over the training text. */
  readonly epoch: number;
  /** Sequences taken in this pass. */
  readonly sequence: number;
}

export interface BatchScheduleOptions {
  /** The sequences of an epoch. */
  readonly cut: TextCut;
  /** Sequences per optimizer step over all dp ranks. */
  readonly batchSize: number;
  readonly seed: number;
}

/**
 * Which window of the training text is sequence i of step s. A pure function of (seed, s, i): it knows nothing of
 * ranks, so every sp and dp trains on the same data, and a resumed run needs only its step number. An epoch takes each
 * window once, in an order of its own.
 */
export class BatchSchedule {
  readonly #options: BatchScheduleOptions;
  #cached: { epoch: number; order: Uint32Array } | null = null;

  constructor(options: BatchScheduleOptions) {
    this.#options = options;
  }

  /** Sequence `index` (of batchSize) of `step` (counted from 0). */
  window(step: number, index: number): Window {
    const { cut, batchSize } = this.#options;
    const taken = step * batchSize + index;
    const epoch = Math.floor(taken / cut.numWindows);
    return cut.window(epoch, this.#order(epoch)[taken % cut.numWindows]!);
  }

  /** Tokens of an earlier step that the sequences of `step` go on from: none, they are drawn in random order. */
  tokensBefore(_step: number): number {
    return 0;
  }

  /** Where the data stands before `step` is run. */
  position(step: number): DataPosition {
    const { cut, batchSize } = this.#options;
    const taken = step * batchSize;
    return { epoch: Math.floor(taken / cut.numWindows), sequence: taken % cut.numWindows };
  }

  #order(epoch: number): Uint32Array {
    if (this.#cached?.epoch !== epoch) {
      const { cut, seed } = this.#options;
      this.#cached = { epoch, order: permutation(cut.numWindows, seed, epoch) };
    }
    return this.#cached.order;
  }
}
