import { numBelow } from './num-below.js';

/** Where the documents of a text start. The first one starts at 0, none is empty. */
export class DocumentStarts {
  readonly #starts: Float64Array;

  /** `starts`: ascending offsets; 0 may be left out. */
  constructor(starts: ArrayLike<number>) {
    this.#starts = Float64Array.from(starts[0] === 0 ? starts : [0, ...Array.from(starts)]);
  }

  /** All of them, as f64. */
  get bytes(): Uint8Array {
    const { buffer, byteOffset, byteLength } = this.#starts;
    return new Uint8Array(buffer, byteOffset, byteLength);
  }

  get numDocuments(): number {
    return this.#starts.length;
  }

  /** First byte of document `index`. */
  startOf(index: number): number {
    return this.#starts[index]!;
  }

  /** The document that holds byte `offset`. */
  indexAt(offset: number): number {
    return numBelow(this.#starts, offset + 1) - 1;
  }

  /** Starts within `[begin, end)`, ascending. */
  between(begin: number, end: number): Float64Array {
    return this.#starts.subarray(numBelow(this.#starts, begin), numBelow(this.#starts, end));
  }

  /** Of the bytes `[begin, end)`, counted from `begin`; what is left of a document that began before is one too. */
  part(begin: number, end: number): DocumentStarts {
    return new DocumentStarts(this.between(begin, end).map((start) => start - begin));
  }
}
