import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import { LongscanError } from '@longscan/kernels/errors';
import type { JobSpec } from '../protocol/job-spec.js';
import type { TextIdentity, Texts } from '../protocol/texts.js';
import { bytesFile } from './bytes-file.js';
import { jsonlFile } from './jsonl-file.js';
import { textChanged } from './read-fully.js';
import { hashDocuments, sampleText } from './text-identity.js';
import type { TextFile, TextPart } from './text-part.js';

/** What of the text is learned from and what is only measured on. */
export interface TextParts {
  readonly training: TextPart;
  readonly validation: TextPart | null;
  /** By which another process opens the same. */
  readonly texts: Texts;
  close(): void;
}

/** The keys of `[data]` that say where the text is, where its documents start and how it is divided. */
export interface TextOptions {
  readonly path: string;
  /** Default: bytes. */
  readonly format?: JobSpec['data']['format'];
  /** Text that begins a document, where the format has no documents of its own; default null: one document. */
  readonly separator?: string | null;
  /** Documents follow one another in a sequence; default false: each is cut into sequences of its own. */
  readonly packing?: boolean;
  /** Fraction held out from the text's end, or the path of a text of its own; 0 holds out nothing. */
  readonly validation: number | string;
  readonly sequenceLength: number;
}

/**
 * Opens the text and divides it; where it has documents, it is divided between two of them. Errors: E-DATA-NONE (no such
 * file), E-DATA-EMPTY (empty, too short or too few documents), E-DATA-SEPARATOR (it begins no document), E-DATA-JSONL.
 *
 * @param texts What they have to be, for a process that is to read what another one has opened: of a file that has grown since,
 *   only what it was then counts, and one that is another by now is E-DATA-CHANGED. Null: the files as they are.
 */
export function openText(options: TextOptions, texts: Texts | null = null): TextParts {
  const fds: number[] = [];
  const close = () => {
    for (const fd of fds.splice(0)) closeSync(fd);
  };
  try {
    return { ...divide(options, texts, fds), close };
  } catch (error) {
    close();
    throw error;
  }
}

function divide(options: TextOptions, expected: Texts | null, fds: number[]): Omit<TextParts, 'close'> {
  const { path, validation } = options;
  const { identity, ...text } = openFile(path, 'data.path', options, expected?.path ?? null, fds);
  requireDocuments(text, options);
  if (typeof validation === 'string') {
    const heldOut = openFile(validation, 'data.validation', options, expected?.validation ?? null, fds);
    requireSequence(options, text.numBytes);
    return {
      training: text.part(0, text.numBytes),
      validation: heldOut.part(0, heldOut.numBytes),
      texts: { path: identity, validation: heldOut.identity },
    };
  }
  const texts = { path: identity, validation: null };
  const numTraining = validation === 0 ? text.numBytes : trainingBytes(text, path, validation);
  requireSequence(options, numTraining, validation);
  const training = text.part(0, numTraining);
  if (validation === 0) return { training, validation: null, texts };
  requireLabel('data.validation', path, text.numBytes - numTraining);
  return { training, validation: text.part(numTraining, text.numBytes), texts };
}

/** Bytes before the held-out end: that fraction, or as many whole documents as it holds, but at least one. */
function trainingBytes({ numBytes, documents }: TextFile, path: string, heldOut: number): number {
  const end = numBytes - Math.floor(numBytes * heldOut);
  if (documents === null) return end;
  const { numDocuments } = documents;
  if (numDocuments > 1) return documents.between(end, numBytes)[0] ?? documents.startOf(numDocuments - 1);
  throw new LongscanError({
    code: 'E-DATA-EMPTY',
    where: `data.path ${path}`,
    found: 'one document',
    expected: 'at least 2: one to learn from and one to hold out',
    fix: 'name a text with more documents, or set data.validation to 0 or to the path of another text',
    exitCode: 4,
  });
}

/** `expected`: what the file has to be, and how much of it counts; null: all of it as it is. */
function openFile(
  path: string,
  key: string,
  { format, separator = null }: TextOptions,
  expected: TextIdentity | null,
  fds: number[],
): TextFile & { readonly identity: TextIdentity } {
  const fd = openRegularFile(path, key);
  fds.push(fd);
  const { size } = fstatSync(fd);
  const bytes = expected?.bytes ?? size;
  if (size < bytes) throw textChanged(path, `${size} bytes, where it had ${bytes}`);
  const sha256 = sampleText(path, fd, bytes);
  // Before it is taken for what it no longer is, a line of JSON say.
  if (expected !== null && sha256 !== expected.sha256) throw textChanged(path, 'other contents');
  const file = format === 'jsonl' ? jsonlFile(path, fd, bytes) : bytesFile(path, fd, bytes, separator);
  requireLabel(key, path, file.numBytes);
  const documents = hashDocuments(file.documents);
  if (expected !== null && documents !== expected.documents)
    throw textChanged(path, 'documents that start elsewhere');
  return { ...file, identity: { bytes, sha256, documents } };
}

/** Looked at before it is opened: opening a named pipe would wait for a writer, in a call that no signal interrupts. */
function openRegularFile(path: string, key: string): number {
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) throw missing(path, key, 'it is a folder');
    if (!stat.isFile()) throw missing(path, key, 'a pipe, a device or a socket, which has no size');
    return openSync(path, 'r');
  } catch (cause) {
    throw cause instanceof LongscanError ? cause : missing(path, key, describeOpenFailure(cause), cause);
  }
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

/** A separator that nothing follows was not meant for this text. */
function requireDocuments({ documents }: TextFile, { path, format, separator }: TextOptions): void {
  if (format === 'jsonl' || documents === null || documents.numDocuments > 1) return;
  throw new LongscanError({
    code: 'E-DATA-SEPARATOR',
    where: `data.separator in ${path}`,
    found: `no ${JSON.stringify(separator)} but at the very beginning`,
    expected: 'a string that begins the documents of this text',
    fix: 'correct data.separator, upper and lower case as in the text',
    exitCode: 4,
  });
}

/** A sequence is filled from the whole text; only documents that are not packed may be shorter. */
function requireSequence(options: TextOptions, numBytes: number, heldOut = 0): void {
  const { path, sequenceLength, format, separator, packing } = options;
  const isUnpacked = (format === 'jsonl' || (separator ?? null) !== null) && !packing;
  if (isUnpacked || numBytes > sequenceLength) return;
  const without = heldOut > 0 ? ` without the held-out ${heldOut * 100} %` : '';
  throw new LongscanError({
    code: 'E-DATA-EMPTY',
    where: `data.path ${path}`,
    found: `${numBytes} bytes${without}`,
    expected: `at least ${sequenceLength + 1}: one sequence and its last label`,
    fix: 'name a longer text or lower data.sequenceLength',
    exitCode: 4,
  });
}
