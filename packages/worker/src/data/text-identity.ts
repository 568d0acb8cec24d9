import { createHash } from 'node:crypto';
import type { TextIdentity } from '../protocol/texts.js';
import type { DocumentStarts } from './document-starts.js';
import { readFully } from './read-fully.js';

const numStretches = 64;
const stretchBytes = 16 << 10;

/**
 * sha256 of the first `numBytes` of a file, by stretches from its beginning to its end; of all of them up to 1 MiB. What changes
 * between two stretches is not seen: reading a corpus as a whole would take longer than the start of a run.
 */
export function sampleText(path: string, fd: number, numBytes: number): string {
  const hash = createHash('sha256');
  if (numBytes <= numStretches * stretchBytes)
    return hash.update(readFully(path, fd, 0, numBytes)).digest('hex');
  for (let i = 0; i < numStretches; i++) {
    const start = Math.floor((i * (numBytes - stretchBytes)) / (numStretches - 1));
    hash.update(readFully(path, fd, start, stretchBytes));
  }
  return hash.digest('hex');
}

/** sha256 of where documents start: of two texts with the same one, sequences are cut at the same places. */
export function hashDocuments(documents: DocumentStarts | null): TextIdentity['documents'] {
  return documents && createHash('sha256').update(documents.bytes).digest('hex');
}
