/** What every function for GPUs begins with; q, k and v can be one tensor [B, T, 2 + V / K, H, K], three times. */
export type GatedLinearCudaArguments = readonly [
  stream: number,
  decay: number,
  decayOnValues: boolean,
  scale: number,
  q: number,
  k: number,
  v: number,
  g: number | null,
  bonus: number | null,
  resets: number | null,
  /** What both passes need of the inputs alone, written by the forward pass; null: each makes it for itself. */
  decayed: number | null,
];

/** What every function for CPUs begins with. */
export type GatedLinearArguments = readonly [
  stream: number,
  decay: number,
  scale: number,
  k: number,
  v: number,
  g: number | null,
  bonus: number | null,
  resets: number | null,
];

declare module '../../native.js' {
  interface Native {
    /**
     * The slice from `h0` (null: zero): what `reader` reads, the state after it, the slice's decay and its reset bit, and the
     * state at the end of every 64 tokens.
     */
    gatedLinearSweep(
      ...args: [
        ...common: GatedLinearArguments,
        axis: number,
        reader: number,
        h0: number | null,
        out: number,
        state: number | null,
        factor: number | null,
        reset: number | null,
        checkpoints: number | null,
      ]
    ): void;
    /** out += what the incoming state h0 contributes. */
    gatedLinearCorrect(
      ...args: [...common: GatedLinearArguments, axis: number, reader: number, h0: number, out: number]
    ): void;
    /** adjoint = dL/dh0 through this slice's reads alone. */
    gatedLinearAdjoint(
      ...args: [...common: GatedLinearArguments, q: number, dO: number, adjoint: number]
    ): void;
    /** Gradients of what is written, and dh0, from the adjoint dht of the state after the slice; with a bonus completes dq. */
    gatedLinearWriteGrad(
      ...args: [
        ...common: GatedLinearArguments,
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
      ]
    ): void;
    /**
     * On GPUs: bytes that a slice needs, of 0 the states kept for the backward pass, 1 the forward workspace, 2 the backward one,
     * 3 `decayed` (0 where the passes share nothing).
     * @throws LongscanError E-CUDA-KERNEL for head sizes without a kernel
     */
    gatedLinearCudaBytes(...args: [...common: GatedLinearCudaArguments, which: number]): number;
    /** On GPUs: o, the state after the slice, and the states that the backward pass starts from. */
    gatedLinearCudaForward(
      ...args: [
        ...common: GatedLinearCudaArguments,
        workspace: number | null,
        h0: number | null,
        o: number,
        ht: number | null,
        states: number,
      ]
    ): void;
    /** On GPUs: every gradient; those of queries and keys head by head; dq, dk and dv are one tensor where q, k and v are. */
    gatedLinearCudaBackward(
      ...args: [
        ...common: GatedLinearCudaArguments,
        workspace: number | null,
        dO: number,
        states: number,
        fromZero: boolean,
        dht: number | null,
        dq: number,
        dk: number,
        dv: number,
        dg: number | null,
        dbonus: number | null,
        dh0: number | null,
      ]
    ): void;
    /** On GPUs: the slice's E, M and reset bit; leaves in the workspace what the forward function then need not do. */
    gatedLinearCudaSummarize(
      ...args: [
        ...common: GatedLinearCudaArguments,
        workspace: number,
        state: number,
        factor: number | null,
        reset: number | null,
      ]
    ): void;
    /** On GPUs: adjoint = dL/dh0 through this slice's reads alone; leaves a workspace to the backward function. */
    gatedLinearCudaSummarizeBackward(
      ...args: [...common: GatedLinearCudaArguments, workspace: number, dO: number, adjoint: number]
    ): void;
    /** On GPUs: state [B, H, V, K] in f32 = Σ_t v_t k_tᵀ of k [B, T, G, K] and v [B, T, H, V]; G divides H. */
    gatedLinearCudaWriteAll(stream: number, state: number, k: number, v: number): void;
    /**
     * On GPUs: output [B, T, H, V] = S q_t of readers q [B, T, G, K]; `byValue`: [B, T, H, K] = Sᵀ v_t of [B, T, G, V]; or,
     * to accumulate, += that. The state is of the reader's type.
     */
    gatedLinearCudaReadAll(
      stream: number,
      byValue: boolean,
      accumulate: boolean,
      state: number,
      reader: number,
      output: number,
    ): void;
  }
}
