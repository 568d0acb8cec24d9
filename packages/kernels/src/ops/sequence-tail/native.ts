declare module '../../native.js' {
  interface Native {
    /** tail [B, R, D] = the last R rows of halo [B, R, D] (null: zeros) and x [B, T, D], as resets i32 [B, T] says */
    sequenceTailForward(
      stream: number,
      x: number,
      halo: number | null,
      resets: number | null,
      tail: number,
    ): void;
    /** dx and, unless null, dHalo: += the rows of dTail that are theirs */
    sequenceTailBackward(
      stream: number,
      dx: number,
      dHalo: number | null,
      resets: number | null,
      dTail: number,
    ): void;
  }
}

export {};
