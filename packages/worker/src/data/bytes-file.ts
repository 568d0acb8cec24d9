import { DocumentStarts } from './document-starts.js';
import { readFully } from './read-fully.js';
import type { TextFile } from './text-part.js';

/**
 * A file whose first `numBytes` bytes are the tokens. `separator`: text that begins a document wherever it stands; null: one
 * document.
 */
export function bytesFile(path: string, fd: number, numBytes: number, separator: string | null): TextFile {
  const documents =
    separator === null ? null : new DocumentStarts([...occurrences(path, fd, numBytes, separator)]);
  return {
    numBytes,
    documents,
    part: (start, end) => ({
      path,
      numBytes: end - start,
      documents: documents === null ? null : documents.part(start, end),
      read: (from, length) => readFully(path, fd, start + from, length),
      placeOf: (offset) => `${path} byte ${start + offset}`,
    }),
  };
}

const blockBytes = 1 << 20;

/** Offsets of `text`, none of which overlap. */
function* occurrences(path: string, fd: number, numBytes: number, text: string): Generator<number> {
  const wanted = Buffer.from(text);
  for (let begin = 0; begin < numBytes; ) {
    // So much more than a block that one which begins in it is found whole.
    const length = Math.min(blockBytes + wanted.length - 1, numBytes - begin);
    const block = Buffer.from(readFully(path, fd, begin, length).buffer);
    let next = begin + Math.min(blockBytes, length);
    for (let at = block.indexOf(wanted); at !== -1; at = block.indexOf(wanted, at + wanted.length)) {
      yield begin + at;
      next = Math.max(next, begin + at + wanted.length);
    }
    begin = next;
  }
}
