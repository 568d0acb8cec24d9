declare module '../../native.js' {
  interface Native {
    /** y[t] = table[tokens[t]]; fails on the stream with E-DATA-VOCAB if an id is not in the table */
    embeddingForward(stream: number, tokens: number, table: number, y: number): void;
    /** dtable[tokens[t]] += dy[t], after zeroing dtable unless `accumulate`; on a GPU each may be f32 or bf16 */
    embeddingGradient(stream: number, tokens: number, dy: number, dtable: number, accumulate: boolean): void;
  }
}

export {};
