declare module '../../native.js' {
  interface Native {
    /** y = [1, linear · x,] square · x_i², cross · x_i x_j for i < j; on a GPU in rows that may end in zeros */
    featureMapForward(
      stream: number,
      hasLinear: boolean,
      linear: number,
      square: number,
      cross: number,
      x: number,
      y: number,
    ): void;
    featureMapBackward(
      stream: number,
      hasLinear: boolean,
      linear: number,
      square: number,
      cross: number,
      x: number,
      dy: number,
      dx: number,
    ): void;
  }
}

export {};
