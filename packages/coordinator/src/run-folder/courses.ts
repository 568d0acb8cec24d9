import type { JournalEvent } from './events.js';

/**
 * Which rows of a run's metrics are of its course. A launch that goes on from a checkpoint does the steps behind it anew,
 * so what earlier launches did there counts no more, be it as far as the new course gets or beyond.
 */
export class Courses {
  readonly #starts: { readonly attempt: number; readonly step: number }[] = [];
  #attempt = 0;

  /** The run's events, in their order. */
  add(event: JournalEvent): void {
    if (event.event === 'run') this.#attempt = event.attempt;
    // Not in the events of runs from before there was such a field: of their rows the highest attempt of a step counts.
    else if (event.event === 'launch' && event.resumeStep !== undefined)
      this.#starts.push({ attempt: this.#attempt, step: event.resumeStep ?? 0 });
  }

  /** The step that the newest launch went on from; 0 for one from the beginning. */
  get start(): number {
    return this.#starts.at(-1)?.step ?? 0;
  }

  counts(row: { readonly step: number; readonly attempt: number }): boolean {
    return this.#starts.every(({ attempt, step }) => attempt <= row.attempt || step >= row.step);
  }
}
