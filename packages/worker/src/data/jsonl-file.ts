import { LongscanError } from '@longscan/kernels/errors';
import { DocumentStarts } from './document-starts.js';
import { readFully, textChanged } from './read-fully.js';
import type { TextFile, TextPart } from './text-part.js';

/** A line of the file that holds a document. */
interface Line {
  /** Counted from 1. */
  readonly number: number;
  readonly start: number;
  readonly numBytes: number;
}

/**
 * A file of one JSON object a line, `{"text": "…"}`; each text is a document whose tokens are its UTF-8 bytes, and other
 * keys are left alone. Empty lines and empty texts hold no token. The file is read once, up to `fileBytes`, to find where
 * documents start.
 *
 * @throws LongscanError E-DATA-JSONL, naming the line
 */
export function jsonlFile(path: string, fd: number, fileBytes: number): TextFile {
  const lines: Line[] = [];
  const starts: number[] = [];
  let numBytes = 0;
  for (const { bytes, ...line } of linesOf(path, fd, fileBytes)) {
    const length = Buffer.byteLength(textOf(bytes, path, line.number));
    if (length === 0) continue;
    lines.push({ ...line, numBytes: bytes.length });
    starts.push(numBytes);
    numBytes += length;
  }
  const documents = new DocumentStarts(starts);
  return {
    numBytes,
    documents,
    part: (start, end) => new JsonlPart({ path, fd, lines, documents }, start, end),
  };
}

interface JsonlIndex {
  readonly path: string;
  readonly fd: number;
  readonly lines: readonly Line[];
  readonly documents: DocumentStarts;
}

class JsonlPart implements TextPart {
  readonly path: string;
  readonly numBytes: number;
  readonly documents: DocumentStarts;
  /** The document read last: reads follow one another. */
  #last: { index: number; bytes: Uint8Array } | null = null;

  constructor(
    private readonly file: JsonlIndex,
    private readonly start: number,
    end: number,
  ) {
    this.path = file.path;
    this.numBytes = end - start;
    this.documents = file.documents.part(start, end);
  }

  read(start: number, length: number): Uint8Array {
    const { documents } = this.file;
    const bytes = new Uint8Array(length);
    for (let filled = 0; filled < length; ) {
      const offset = this.start + start + filled;
      const index = documents.indexAt(offset);
      const from = offset - documents.startOf(index);
      const piece = this.#document(index).subarray(from, from + length - filled);
      // Every document is one byte long at least, unless its line has changed.
      if (piece.length === 0) throw this.#changed(index);
      bytes.set(piece, filled);
      filled += piece.length;
    }
    return bytes;
  }

  placeOf(offset: number): string {
    return `${this.path}:${this.file.lines[this.file.documents.indexAt(this.start + offset)]!.number}`;
  }

  #document(index: number): Uint8Array {
    if (this.#last?.index !== index) {
      const { path, fd, lines, documents } = this.file;
      const line = lines[index]!;
      const bytes = Buffer.from(textOf(readFully(path, fd, line.start, line.numBytes), path, line.number));
      const next = index + 1 < lines.length ? documents.startOf(index + 1) : null;
      if (next !== null && bytes.length !== next - documents.startOf(index)) throw this.#changed(index);
      this.#last = { index, bytes };
    }
    return this.#last.bytes;
  }

  #changed(index: number): LongscanError {
    return textChanged(this.path, `another text in line ${this.file.lines[index]!.number}`);
  }
}

const blockBytes = 1 << 20;
const lineFeed = 0x0a;

/** Every line of the first `size` bytes, and what follows the last line feed. */
function* linesOf(
  path: string,
  fd: number,
  size: number,
): Generator<Omit<Line, 'numBytes'> & { bytes: Buffer }> {
  let number = 1;
  let pending: Buffer[] = [];
  let start = 0;
  for (let begin = 0; begin < size; begin += blockBytes) {
    const block = Buffer.from(readFully(path, fd, begin, Math.min(blockBytes, size - begin)).buffer);
    let from = 0;
    for (let end = block.indexOf(lineFeed); end !== -1; end = block.indexOf(lineFeed, from)) {
      yield { number: number++, start, bytes: Buffer.concat([...pending, block.subarray(from, end)]) };
      pending = [];
      from = end + 1;
      start = begin + from;
    }
    pending.push(block.subarray(from));
  }
  yield { number, start, bytes: Buffer.concat(pending) };
}

/** The document in a line; empty for a blank line. */
function textOf(bytes: Uint8Array, path: string, line: number): string {
  const said = Buffer.from(bytes).toString();
  // Some editors begin a file with a byte order mark, which JSON does not know.
  const json = line === 1 && said.startsWith('\ufeff') ? said.slice(1) : said;
  if (json.trim() === '') return '';
  const value = parse(json);
  const text = typeof value === 'object' && value !== null && 'text' in value ? value.text : undefined;
  if (typeof text === 'string') return text;
  throw new LongscanError({
    code: 'E-DATA-JSONL',
    where: `${path}:${line}`,
    found: value === undefined ? 'a line that is not JSON' : 'no string "text"',
    expected: 'one object a line, {"text": "…"}',
    fix: 'correct the line, or set data.format = "text" to learn the file as it stands',
    exitCode: 4,
  });
}

/** Undefined: not JSON. */
function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
