declare module '../../native.js' {
  interface Native {
    /** The slice from `h0` (null: zero): o, the state after it, the slice's decay and its reset bit. */
    gatedLinearForward(
      stream: number,
      decay: number,
      scale: number,
      q: number,
      k: number,
      v: number,
      g: number | null,
      resets: number | null,
      h0: number | null,
      o: number,
      state: number,
      factor: number | null,
      reset: number | null,
    ): void;
    /** o += what the incoming state h0 contributes. */
    gatedLinearCorrect(
      stream: number,
      decay: number,
      scale: number,
      q: number,
      k: number,
      v: number,
      g: number | null,
      resets: number | null,
      h0: number,
      o: number,
    ): void;
    /** adjoint = dL/dh0 through this slice's outputs alone. */
    gatedLinearAdjoint(
      stream: number,
      decay: number,
      scale: number,
      q: number,
      k: number,
      v: number,
      g: number | null,
      resets: number | null,
      dO: number,
      adjoint: number,
    ): void;
    /** dq, and states at the end of every 64 tokens. */
    gatedLinearQueryGrad(
      stream: number,
      decay: number,
      scale: number,
      q: number,
      k: number,
      v: number,
      g: number | null,
      resets: number | null,
      h0: number | null,
      dO: number,
      dq: number,
      checkpoints: number | null,
    ): void;
    /** dk, dv, dg and dh0 from the adjoint dht of the state after the slice. */
    gatedLinearKeyValueGrad(
      stream: number,
      decay: number,
      scale: number,
      q: number,
      k: number,
      v: number,
      g: number | null,
      resets: number | null,
      dO: number,
      dq: number,
      checkpoints: number | null,
      dht: number | null,
      dk: number,
      dv: number,
      dg: number | null,
      dh0: number | null,
    ): void;
  }
}

export {};
