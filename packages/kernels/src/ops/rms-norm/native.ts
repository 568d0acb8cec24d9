declare module '../../native.js' {
  interface Native {
    /** y = x · rstd · weight, rstd = 1 / sqrt(mean(x²) + eps) over the last dim */
    rmsNormForward(stream: number, x: number, weight: number, eps: number, y: number, rstd: number): void;
    /** dx, and unless null the weight's gradient by blocks of 64 rows, dwBlocks [blocks, cols] */
    rmsNormBackward(
      stream: number,
      dy: number,
      x: number,
      weight: number,
      rstd: number,
      dx: number,
      dwBlocks: number | null,
    ): void;
  }
}

export {};
