import { permutation, uniformDraws } from './permutation.js';

/** A point in the training data, for people and manifests; the schedule itself needs only the step. */
export interface DataPosition {
  /** Whole passes over the training text. */
  readonly epoch: number;
  /** Sequences taken in this pass. */
  readonly sequence: number;
}

export interface BatchScheduleOptions {
  /** Bytes of the training text. */
  readonly numBytes: number;
  /** Tokens of one whole sequence; its last label is the byte after it. */
  readonly sequenceLength: number;
  /** Sequences per optimizer step over all dp ranks. */
  readonly batchSize: number;
  readonly seed: number;
}

/**
 * Which window of the training text is sequence i of step s. A pure function of (seed, s, i): it knows nothing of
 * ranks, so every sp and dp trains on the same data, and a resumed run needs only its step number.
 *
 * An epoch cuts the text into contiguous windows and takes each once, in an order of its own. The windows of an epoch
 * start at a random byte, as far as the text is longer than a whole number of windows, so its tail is learned too.
 */
export class BatchSchedule {
  readonly windowsPerEpoch: number;
  readonly #options: BatchScheduleOptions;
  #cached: { epoch: number; offset: number; order: Uint32Array } | null = null;

  /** The text must hold at least one window of sequenceLength + 1 bytes; `openText` checks that. */
  constructor(options: BatchScheduleOptions) {
    this.#options = options;
    this.windowsPerEpoch = Math.floor((options.numBytes - 1) / options.sequenceLength);
  }

  /** First byte, in the training text, of sequence `index` (of batchSize) of `step` (counted from 0). */
  windowStart(step: number, index: number): number {
    const taken = step * this.#options.batchSize + index;
    const { offset, order } = this.#epoch(Math.floor(taken / this.windowsPerEpoch));
    return offset + order[taken % this.windowsPerEpoch]! * this.#options.sequenceLength;
  }

  /** Tokens of an earlier step that the sequences of `step` go on from: none, they are drawn in random order. */
  tokensBefore(_step: number): number {
    return 0;
  }

  /** Where the data stands before `step` is run. */
  position(step: number): DataPosition {
    const taken = step * this.#options.batchSize;
    return { epoch: Math.floor(taken / this.windowsPerEpoch), sequence: taken % this.windowsPerEpoch };
  }

  #epoch(epoch: number): { offset: number; order: Uint32Array } {
    if (this.#cached?.epoch !== epoch) {
      const { numBytes, sequenceLength, seed } = this.#options;
      const spare = numBytes - 1 - this.windowsPerEpoch * sequenceLength;
      const offset = uniformDraws(seed + epoch)(spare + 1);
      this.#cached = { epoch, offset, order: permutation(this.windowsPerEpoch, seed, epoch) };
    }
    return this.#cached;
  }
}
