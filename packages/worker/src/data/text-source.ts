import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { LongscanError } from '@longscan/kernels';

/** A contiguous part of a text file. Offsets given to `read` count from the part's first byte. */
export class TextPart {
  readonly path: string;
  readonly numBytes: number;
  readonly #fd: number;
  readonly #start: number;

  constructor(path: string, fd: number, start: number, end: number) {
    this.path = path;
    this.numBytes = end - start;
    this.#fd = fd;
    this.#start = start;
  }

  /**
   * Bytes `[start, start + length)` of the part. Read from the file each time: a rank needs its own slices only, so
   * it never holds the text. Throws E-DATA-CHANGED when the file has become shorter meanwhile.
   */
  read(start: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const numRead = readSync(this.#fd, bytes, filled, length - filled, this.#start + start + filled);
      if (numRead === 0) throw this.#changed(this.#start + start + filled);
      filled += numRead;
    }
    return bytes;
  }

  #changed(offset: number): LongscanError {
    return new LongscanError({
      code: 'E-DATA-CHANGED',
      where: this.path,
      found: `the file ends at byte ${offset}`,
      expected: `${this.#start + this.numBytes} bytes as when the run opened it`,
      fix: 'leave a data file alone while a run reads it; resume the run from its last checkpoint',
      exitCode: 4,
    });
  }
}

/** What of the text is learned from and what is only measured on. */
export interface TextParts {
  readonly training: TextPart;
  readonly validation: TextPart | null;
  close(): void;
}

/** The keys of `[data]` that say where the text is and how it is divided. */
export interface TextOptions {
  readonly path: string;
  /** Fraction held out from the text's end, or the path of a text of its own; 0 holds out nothing. */
  readonly validation: number | string;
  readonly sequenceLength: number;
}

/** Opens the text and divides it. Errors: E-DATA-NONE (no such file), E-DATA-EMPTY (empty or too short). */
export function openText({ path, validation, sequenceLength }: TextOptions): TextParts {
  const fds: number[] = [];
  const close = () => {
    for (const fd of fds.splice(0)) closeSync(fd);
  };
  try {
    const text = openFile(path, 'data.path', fds);
    if (typeof validation === 'string') {
      const heldOut = openFile(validation, 'data.validation', fds);
      requireBytes('data.path', path, text.numBytes, sequenceLength);
      return { training: text.part(0, text.numBytes), validation: heldOut.part(0, heldOut.numBytes), close };
    }
    const numTraining = text.numBytes - Math.floor(text.numBytes * validation);
    requireBytes('data.path', path, numTraining, sequenceLength, validation);
    if (validation === 0) return { training: text.part(0, numTraining), validation: null, close };
    requireLabel('data.validation', path, text.numBytes - numTraining);
    return { training: text.part(0, numTraining), validation: text.part(numTraining, text.numBytes), close };
  } catch (error) {
    close();
    throw error;
  }
}

interface OpenFile {
  readonly numBytes: number;
  part(start: number, end: number): TextPart;
}

function openFile(path: string, key: string, fds: number[]): OpenFile {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (cause) {
    throw missing(path, key, describeOpenFailure(cause), cause);
  }
  fds.push(fd);
  const stat = fstatSync(fd);
  if (stat.isDirectory()) throw missing(path, key, 'it is a folder');
  requireLabel(key, path, stat.size);
  return { numBytes: stat.size, part: (start, end) => new TextPart(path, fd, start, end) };
}

function describeOpenFailure(cause: unknown): string {
  const code = (cause as NodeJS.ErrnoException).code;
  return code === 'ENOENT' ? 'no such file' : `the file cannot be opened (${code})`;
}

function missing(path: string, key: string, found: string, cause?: unknown): LongscanError {
  const fix = `correct ${key}; a relative path counts from the job file`;
  return new LongscanError({
    code: 'E-DATA-NONE',
    where: `${key} ${path}`,
    found,
    expected: 'a text file',
    fix,
    exitCode: 4,
    cause,
  });
}

/** A text with fewer than two bytes has no byte that predicts another. */
function requireLabel(key: string, path: string, numBytes: number): void {
  if (numBytes >= 2) return;
  throw new LongscanError({
    code: 'E-DATA-EMPTY',
    where: `${key} ${path}`,
    found: numBytes === 1 ? '1 byte' : `${numBytes} bytes`,
    expected: 'at least 2 bytes: one to read and one to predict',
    fix:
      key === 'data.validation'
        ? 'hold out a larger fraction, or 0 for none'
        : 'name a text that is not empty',
    exitCode: 4,
  });
}

function requireBytes(
  key: string,
  path: string,
  numBytes: number,
  sequenceLength: number,
  heldOut = 0,
): void {
  if (numBytes > sequenceLength) return;
  const without = heldOut > 0 ? ` without the held-out ${heldOut * 100} %` : '';
  throw new LongscanError({
    code: 'E-DATA-EMPTY',
    where: `${key} ${path}`,
    found: `${numBytes} bytes${without}`,
    expected: `at least ${sequenceLength + 1}: one sequence and its last label`,
    fix: 'name a longer text or lower data.sequenceLength',
    exitCode: 4,
  });
}
