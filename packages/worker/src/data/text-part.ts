import type { DocumentStarts } from './document-starts.js';

/** A contiguous run of a text's tokens, which are bytes. Offsets count from the part's first one. */
export interface TextPart {
  /** The file. */
  readonly path: string;
  readonly numBytes: number;
  /** Null: the text is one document. */
  readonly documents: DocumentStarts | null;
  /**
   * Bytes `[start, start + length)`. Read from the file each time: a rank needs its own slices only, so it never holds
   * the text. @throws LongscanError E-DATA-CHANGED when the file is no longer what it was when it was opened
   */
  read(start: number, length: number): Uint8Array;
  /** Where a byte stands in the file, for people. */
  placeOf(offset: number): string;
}

/** An open file before it is divided into what is learned from and what is held out. */
export interface TextFile {
  readonly numBytes: number;
  readonly documents: DocumentStarts | null;
  part(start: number, end: number): TextPart;
}
