import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { isMetricsRow, isStepRow, type StepRow } from '@longscan/worker/protocol';
import type { JournalEvent, RunEvent } from './events.js';
import { parseRow } from './jsonl-file.js';
import { runFiles } from './run-folder.js';
import type { JournalSize, RunJournal } from './run-journal.js';

/** An event as it stands in the file. */
type EventRow = JournalEvent & { readonly time: string; readonly metricsBytes: number };

const blockBytes = 64 * 1024;

/**
 * Yields the rows of `events.jsonl` and `metrics.jsonl` in the order in which they were written, from `start` until
 * the journal is closed. Rows are read from the files when they are asked for, so a reader may be as slow as it
 * likes: it holds one block of each file, never the rows it has not taken yet.
 */
export async function* readJournal(journal: RunJournal, start: JournalSize): AsyncGenerator<RunEvent> {
  const events = new LineFile(join(journal.runDir, runFiles.events), start.eventsBytes);
  const metrics = new LineFile(join(journal.runDir, runFiles.metrics), start.metricsBytes);
  try {
    for (;;) {
      const wasClosed = journal.isClosed;
      const changed = journal.changed();
      const size = journal.size;
      for (;;) {
        const line = await events.next(size.eventsBytes);
        if (line === null) break;
        const row = parseRow(line) as EventRow | null;
        if (row === null) continue;
        const { time: _time, metricsBytes, ...event } = row;
        yield* metricsUntil(metrics, metricsBytes);
        yield event as JournalEvent;
      }
      yield* metricsUntil(metrics, size.metricsBytes);
      if (wasClosed) return;
      await changed;
    }
  } finally {
    await events.close();
    await metrics.close();
  }
}

/** The steps of `readJournal`. */
export async function* readSteps(journal: RunJournal, start: JournalSize): AsyncGenerator<StepRow> {
  for await (const event of readJournal(journal, start)) {
    if (event.event !== 'step') continue;
    const { event: _kind, ...row } = event;
    yield row;
  }
}

async function* metricsUntil(metrics: LineFile, endBytes: number): AsyncGenerator<RunEvent> {
  for (;;) {
    const line = await metrics.next(endBytes);
    if (line === null) return;
    const row = parseRow(line);
    if (!isMetricsRow(row)) continue;
    yield isStepRow(row) ? { event: 'step', ...row } : { event: 'validation', ...row };
  }
}

/** Reads lines of a growing file, up to a given length of it. */
class LineFile {
  readonly #path: string;
  #file: FileHandle | null = null;
  #buffer: Buffer = Buffer.alloc(0);
  /** Place in the file of the buffer's first byte. */
  #offset: number;

  constructor(path: string, offset: number) {
    this.#path = path;
    this.#offset = offset;
  }

  /** The next line that ends at or before `endBytes`, or null. */
  async next(endBytes: number): Promise<string | null> {
    for (;;) {
      const newline = this.#buffer.indexOf(0x0a);
      if (newline >= 0) {
        if (this.#offset + newline + 1 > endBytes) return null;
        const line = this.#buffer.toString('utf8', 0, newline);
        this.#buffer = this.#buffer.subarray(newline + 1);
        this.#offset += newline + 1;
        return line;
      }
      if (this.#offset + this.#buffer.length >= endBytes) return null;
      if (!(await this.#readBlock())) return null;
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }

  async #readBlock(): Promise<boolean> {
    this.#file ??= await open(this.#path);
    const position = this.#offset + this.#buffer.length;
    const { buffer, bytesRead } = await this.#file.read(Buffer.alloc(blockBytes), 0, blockBytes, position);
    this.#buffer = Buffer.concat([this.#buffer, buffer.subarray(0, bytesRead)]);
    return bytesRead > 0;
  }
}
