declare module '../../native.js' {
  interface Native {
    /** The slice from `h0` (null: zero). Whatever is null of the rest is not computed; o and x go together. */
    mesaForward(
      stream: number,
      q: number,
      k: number,
      v: number,
      beta: number,
      g: number,
      lambda: number,
      resets: number | null,
      h0: number | null,
      o: number | null,
      x: number | null,
      state: number | null,
      factor: number | null,
    ): void;
    /** adjoint = dL/dh0 through this slice's outputs alone. */
    mesaAdjoint(
      stream: number,
      q: number,
      k: number,
      v: number,
      beta: number,
      g: number,
      lambda: number,
      resets: number | null,
      h0: number | null,
      x: number,
      dO: number,
      adjoint: number,
    ): void;
    /** What follows from the solutions: dq and dLambda [B, H, K], and what the second sweep needs. */
    mesaQueryGrad(
      stream: number,
      q: number,
      k: number,
      v: number,
      beta: number,
      g: number,
      lambda: number,
      resets: number | null,
      h0: number | null,
      x: number,
      dO: number,
      dq: number,
      dLambda: number,
      checkpoints: number,
    ): void;
    /** The other gradients from the adjoint dht of the state after the slice. */
    mesaKeyValueGrad(
      stream: number,
      q: number,
      k: number,
      v: number,
      beta: number,
      g: number,
      lambda: number,
      resets: number | null,
      h0: number | null,
      x: number,
      dO: number,
      dq: number,
      checkpoints: number,
      dht: number | null,
      dk: number,
      dv: number,
      dBeta: number,
      dg: number,
      dh0: number | null,
    ): void;
  }
}

export {};
