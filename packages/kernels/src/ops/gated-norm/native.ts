declare module '../../native.js' {
  interface Native {
    /** y = x · rstd · weight · act(gate), rstd = 1 / sqrt(mean(x²) + eps) over the last dim; act: SiLU or sigmoid */
    gatedNormForward(
      stream: number,
      x: number,
      gate: number,
      weight: number,
      isSilu: boolean,
      eps: number,
      y: number,
      rstd: number,
    ): void;
    /**
     * dx, dGate, and unless null the weight's gradient by blocks of rows, dwBlocks [blocks, cols]: of 64 rows on a CPU, on
     * a GPU as many of equal size as it has; and y again, unless null: it may be dy
     */
    gatedNormBackward(
      stream: number,
      x: number,
      gate: number,
      weight: number,
      isSilu: boolean,
      dy: number,
      rstd: number,
      dx: number,
      dGate: number,
      dwBlocks: number | null,
      y: number | null,
    ): void;
  }
}

export {};
