import { mix } from './permutation.js';
import type { Window } from './window.js';

/** A step that no training has: the masks of held-out text are the same at every validation. */
export const heldOutStep = -1;

/**
 * Which tokens the masked objective hides: each by itself with probability `rate`, decided by the job's seed, the step, the
 * sequence and the token's place in it alone. So every cut of the ranks hides the same ones, and so does a resumed run.
 */
export class Masking {
  /** Draws of 32 bits below this hide a token. */
  readonly #threshold: number;

  constructor(
    private readonly seed: number,
    rate: number,
  ) {
    this.#threshold = rate * 2 ** 32;
  }

  /** The same window with some of its tokens hidden; `sequence` is its place in the step. */
  hide(window: Window, step: number, sequence: number): Window {
    const key = mix(mix(mix(this.seed ^ 0x6d61_736b) ^ step) ^ sequence);
    return { ...window, isHidden: (position) => mix(mix(key + position)) < this.#threshold };
  }
}
