declare module '../../native.js' {
  interface Native {
    /**
     * y = x · rstd · weight, rstd = 1 / sqrt(mean(x²) + eps) over the last dim; weight null: y = x · rstd, and the sum of
     * the squares in place of their mean. With a branch x + branch is normed, and kept in sum (null with branch).
     */
    rmsNormForward(
      stream: number,
      x: number,
      branch: number | null,
      weight: number | null,
      eps: number,
      sum: number | null,
      y: number,
      rstd: number,
    ): void;
    /**
     * dx, plus dSum unless null; and unless null the weight's gradient by blocks of rows, dwBlocks [blocks, cols]: of 64
     * rows on a CPU, on a GPU as many of equal size as it has; and y again, unless null: it may be dy
     */
    rmsNormBackward(
      stream: number,
      dy: number,
      x: number,
      weight: number | null,
      rstd: number,
      dSum: number | null,
      dx: number,
      dwBlocks: number | null,
      y: number | null,
    ): void;
  }
}

export {};
