import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { onDisk } from './on-disk.js';

const newline = 0x0a;

/**
 * A file of JSON rows, one per line, that only grows. Every row is one write. A row that was cut short, by a full
 * disk or by the writer's death, is closed by a line break before the next one, so that it spoils no other.
 */
export class JsonlFile {
  readonly #fd: number;
  #bytes: number;
  #isTorn: boolean;

  /** Opens for appending; what is there stays. @throws LongscanError E-DISK (exit code 3). */
  constructor(path: string) {
    this.#fd = onDisk(path, () => openSync(path, 'a+'));
    this.#bytes = fstatSync(this.#fd).size;
    this.#isTorn = this.#bytes > 0 && this.#lastByte() !== newline;
  }

  /** Length of the file. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Appends a row; false when the disk did not take all of it. */
  append(row: object): boolean {
    const line = Buffer.from(`${this.#isTorn ? '\n' : ''}${JSON.stringify(row)}\n`);
    try {
      const written = writeSync(this.#fd, line);
      this.#bytes += written;
      this.#isTorn = written < line.length;
      return !this.#isTorn;
    } catch {
      return false;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  #lastByte(): number | undefined {
    const byte = Buffer.alloc(1);
    readSync(this.#fd, byte, 0, 1, this.#bytes - 1);
    return byte[0];
  }
}

/** The value of a line, or null for one that was cut short. */
export function parseRow(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
