declare module '../../native.js' {
  interface Native {
    /** positions i32 [B, T], going on from `before` i32 [B] (null: `start`), zero at each reset */
    documentPositions(
      stream: number,
      start: number,
      before: number | null,
      resets: number | null,
      positions: number,
    ): void;
    /** starts = 1 where a position is a multiple of `chunk`, else 0; i32 */
    chunkStarts(stream: number, chunk: number, positions: number, starts: number): void;
  }
}

export {};
