declare module '../../native.js' {
  interface Native {
    /** y = (x - mean) · rstd · weight + bias per row; weight [groups, cols]; stats [rows, 2] = (mean, rstd) */
    layerNormForward(
      stream: number,
      x: number,
      weight: number,
      bias: number | null,
      eps: number,
      y: number,
      stats: number,
    ): void;
    /**
     * dx, and unless null the gradients of weight and bias by blocks of positions, [blocks, groups · cols]: of 64 positions
     * on a CPU, on a GPU as many of equal size as there are
     */
    layerNormBackward(
      stream: number,
      dy: number,
      x: number,
      weight: number,
      stats: number,
      dx: number,
      dwBlocks: number | null,
      dbBlocks: number | null,
    ): void;
  }
}

export {};
