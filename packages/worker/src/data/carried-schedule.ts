import { LongscanError } from '@longscan/kernels/errors';
import type { DataPosition } from './batch-schedule.js';
import type { Window } from './window.js';

export interface CarriedScheduleOptions {
  /** Bytes of the training text. */
  readonly numBytes: number;
  /** Tokens of one whole sequence; its last label is the byte after it. */
  readonly sequenceLength: number;
  /** Sequences per optimizer step. */
  readonly batchSize: number;
}

/**
 * Which window of the training text is sequence i of step s where memory is carried over steps: the text is cut into as
 * many stretches as a batch has sequences, and each is read from its beginning to its end, again and again. A pure
 * function of (s, i), as in `BatchSchedule`.
 */
export class CarriedSchedule {
  readonly stepsPerEpoch: number;
  readonly #options: CarriedScheduleOptions;
  readonly #stretch: number;

  /** @throws LongscanError E-DATA-EMPTY if a stretch holds no sequence */
  constructor(options: CarriedScheduleOptions) {
    const { numBytes, sequenceLength, batchSize } = options;
    this.#options = options;
    this.#stretch = Math.floor((numBytes - 1) / batchSize);
    this.stepsPerEpoch = Math.floor(this.#stretch / sequenceLength);
    if (this.stepsPerEpoch > 0) return;
    throw new LongscanError({
      code: 'E-DATA-EMPTY',
      where: 'data.path',
      found: `${numBytes} bytes of training text for ${batchSize} stretches that data.carry reads side by side`,
      expected: `at least ${batchSize * sequenceLength + 1}: one sequence for each`,
      fix: 'name a longer text, or lower data.batchSize or data.sequenceLength',
      exitCode: 4,
    });
  }

  /** Sequence `index` (of batchSize) of `step` (counted from 0). */
  window(step: number, index: number): Window {
    const memoryStart = index * this.#stretch;
    const start = memoryStart + this.tokensBefore(step);
    return { start, numTokens: this.#options.sequenceLength, memoryStart };
  }

  /** Tokens of each stretch that the steps before `step` have read; 0: its sequences begin one. */
  tokensBefore(step: number): number {
    return (step % this.stepsPerEpoch) * this.#options.sequenceLength;
  }

  /** Where the data stands before `step` is run. */
  position(step: number): DataPosition {
    const done = step % this.stepsPerEpoch;
    return { epoch: Math.floor(step / this.stepsPerEpoch), sequence: done * this.#options.batchSize };
  }
}
