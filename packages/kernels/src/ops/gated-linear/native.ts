declare module '../../native.js' {
  interface Native {
    /**
     * The slice from `h0` (null: zero): what `reader` reads, the state after it, the slice's decay and its reset bit, and the
     * state at the end of every 64 tokens.
     */
    gatedLinearSweep(
      stream: number,
      decay: number,
      scale: number,
      k: number,
      v: number,
      g: number | null,
      bonus: number | null,
      resets: number | null,
      axis: number,
      reader: number,
      h0: number | null,
      out: number,
      state: number | null,
      factor: number | null,
      reset: number | null,
      checkpoints: number | null,
    ): void;
    /** out += what the incoming state h0 contributes. */
    gatedLinearCorrect(
      stream: number,
      decay: number,
      scale: number,
      k: number,
      v: number,
      g: number | null,
      bonus: number | null,
      resets: number | null,
      axis: number,
      reader: number,
      h0: number,
      out: number,
    ): void;
    /** adjoint = dL/dh0 through this slice's reads alone. */
    gatedLinearAdjoint(
      stream: number,
      decay: number,
      scale: number,
      k: number,
      v: number,
      g: number | null,
      bonus: number | null,
      resets: number | null,
      q: number,
      dO: number,
      adjoint: number,
    ): void;
    /** Gradients of what is written, and dh0, from the adjoint dht of the state after the slice; with a bonus completes dq. */
    gatedLinearWriteGrad(
      stream: number,
      decay: number,
      scale: number,
      k: number,
      v: number,
      g: number | null,
      bonus: number | null,
      resets: number | null,
      q: number,
      dq: number,
      dO: number,
      checkpoints: number | null,
      dht: number | null,
      fromZero: boolean,
      dk: number,
      dv: number,
      dg: number | null,
      dbonus: number | null,
      dh0: number | null,
    ): void;
  }
}

export {};
