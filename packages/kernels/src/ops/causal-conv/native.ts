declare module '../../native.js' {
  interface Native {
    /**
     * z = bias + Σ taps of x [B, T, D]; y = z, or with `silu` silu(z), or with `dy` too dy · silu'(z). taps [W, D], the
     * last one of the token itself; halo [B, W - 1, D] or null: zeros; resets i32 [B, T] or null
     */
    causalConvForward(
      stream: number,
      x: number,
      halo: number | null,
      taps: number,
      resets: number | null,
      bias: number | null,
      silu: boolean,
      dy: number | null,
      y: number,
    ): void;
    /** dx and, where there is a halo, dHalo */
    causalConvBackward(
      stream: number,
      x: number,
      halo: number | null,
      taps: number,
      resets: number | null,
      dz: number,
      dx: number,
      dHalo: number | null,
    ): void;
    /** dTaps by blocks of 64 tokens, [blocks, W · D] */
    causalConvTaps(
      stream: number,
      x: number,
      halo: number | null,
      taps: number,
      resets: number | null,
      dz: number,
      dTaps: number,
    ): void;
  }
}

export {};
