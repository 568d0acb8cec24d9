declare module '../../native.js' {
  interface Native {
    /** y[t] = x[t - 1], x [B, T, D]; at t = 0 halo [B, 1, D] (null: zeros), zeros where resets i32 [B, T] is set */
    tokenShiftForward(stream: number, x: number, halo: number | null, resets: number | null, y: number): void;
    /** dx and, unless null, dHalo */
    tokenShiftBackward(
      stream: number,
      dx: number,
      dHalo: number | null,
      resets: number | null,
      dy: number,
    ): void;
  }
}

export {};
