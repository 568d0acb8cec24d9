import { join } from 'node:path';
import type { MetricsRow } from '@longscan/worker/protocol';
import type { JournalEvent } from './events.js';
import { JsonlFile } from './jsonl-file.js';
import { runFiles } from './run-folder.js';

/** How much of the two files is complete. Taken together, so that their rows can be put in order. */
export interface JournalSize {
  readonly metricsBytes: number;
  readonly eventsBytes: number;
}

/**
 * Writer of a run's `metrics.jsonl` and `events.jsonl`. Rows are appended and never changed; an event notes how long
 * metrics.jsonl was at its time, which is all that is needed to read both in their order.
 *
 * A disk that is full or gone does not end a training run: rows that cannot be written are counted, and an
 * incident tells of them once the disk takes rows again.
 */
export class RunJournal {
  readonly runDir: string;
  readonly #metrics: JsonlFile;
  readonly #events: JsonlFile;
  #numLost = 0;
  #numReported = 0;
  #isClosed = false;
  #waiting: (() => void)[] = [];

  /** Opens the files for appending; what an earlier launch wrote stays. @throws LongscanError E-DISK. */
  constructor(runDir: string) {
    this.runDir = runDir;
    this.#metrics = new JsonlFile(join(runDir, runFiles.metrics));
    this.#events = new JsonlFile(join(runDir, runFiles.events));
  }

  get size(): JournalSize {
    return { metricsBytes: this.#metrics.bytes, eventsBytes: this.#events.bytes };
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Rows that could not be written. */
  get numLost(): number {
    return this.#numLost;
  }

  metrics(row: MetricsRow): void {
    this.#append(this.#metrics, row);
  }

  event(event: JournalEvent): void {
    const time = new Date().toISOString();
    this.#append(this.#events, { time, metricsBytes: this.#metrics.bytes, ...event });
  }

  /** Resolves at the next row, or at once when the journal is closed. */
  changed(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#metrics.close();
    this.#events.close();
    this.#wake();
  }

  #append(file: JsonlFile, row: object): void {
    if (this.#isClosed || !file.append(row)) {
      this.#numLost++;
      return;
    }
    this.#wake();
    if (this.#numLost === this.#numReported) return;
    const message = `${this.#numLost - this.#numReported} rows could not be written to ${this.runDir}`;
    this.#numReported = this.#numLost;
    this.event({ event: 'incident', severity: 'warning', code: 'W-DISK', message, rank: null });
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
