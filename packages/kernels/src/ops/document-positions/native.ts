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
  }
}

export {};
