/** What every function here begins with. */
export type DeltaRuleArguments = readonly [
  stream: number,
  gate: number,
  erase: number,
  read: number,
  scale: number,
  q: number,
  k: number,
  v: number,
  beta: number | null,
  g: number | null,
  b: number | null,
  e: number | null,
  resets: number | null,
];

/** Where the gradients go; null for an input that is missing. */
type DeltaRuleGradientIds = readonly [
  dq: number,
  dk: number,
  dv: number,
  dbeta: number | null,
  dg: number | null,
  db: number | null,
  de: number | null,
];

/** What every function for GPUs begins with. */
export type DeltaRuleCudaArguments = readonly [
  stream: number,
  gate: number,
  scale: number,
  q: number,
  k: number,
  v: number,
  beta: number | null,
  g: number | null,
  b: number | null,
  resets: number | null,
];

declare module '../../native.js' {
  interface Native {
    /** The slice from `h0` (null: zero). What is null of the results is not computed; not both `o` and `factor`. */
    deltaRuleForward(
      ...args: [
        ...common: DeltaRuleArguments,
        h0: number | null,
        o: number | null,
        state: number | null,
        factor: number | null,
        checkpoints: number | null,
      ]
    ): void;
    /** adjoint = dL/dh0 through this slice's outputs alone. */
    deltaRuleAdjoint(...args: [...common: DeltaRuleArguments, dO: number, adjoint: number]): void;
    /** All gradients from the adjoint dht of the state after the slice (null: zero). */
    deltaRuleBackward(
      ...args: [
        ...common: DeltaRuleArguments,
        dO: number,
        checkpoints: number,
        dht: number | null,
        ...gradients: DeltaRuleGradientIds,
        dh0: number | null,
      ]
    ): void;
    /** Whether the GPU's blocks have the shared memory for the chunkwise kernels of these head sizes. */
    deltaRuleCudaTakes(...args: [...common: DeltaRuleCudaArguments]): boolean;
    /**
     * On GPUs: o, the state after the slice, and what the backward pass needs, as large as kept-on-gpu.ts says.
     * @throws LongscanError E-CUDA-KERNEL for head sizes without a kernel
     */
    deltaRuleCudaForward(
      ...args: [
        ...common: DeltaRuleCudaArguments,
        h0: number | null,
        o: number,
        ht: number | null,
        kept: number,
        prepared: boolean,
        segments: number | null,
      ]
    ): void;
    /** On GPUs: what of `kept` needs no state. */
    deltaRuleCudaPrepare(...args: [...common: DeltaRuleCudaArguments, kept: number]): void;
    /** Whether the device summarizes by chunks. */
    deltaRuleCudaSummarizes(...args: [...common: DeltaRuleCudaArguments]): boolean;
    /** On GPUs, from what is prepared: E, Mᵀ, and whether a document starts in the slice, [B]. */
    deltaRuleCudaSummarize(
      ...args: [
        ...common: DeltaRuleCudaArguments,
        kept: number,
        state: number,
        factor: number,
        reset: number | null,
        segments: number,
      ]
    ): void;
    /** On GPUs: bytes that the summary against time leaves for the backward pass. */
    deltaRuleCudaSummaryBackwardBytes(...args: [...common: DeltaRuleCudaArguments]): number;
    /** On GPUs: dL/dh0 through this slice's outputs alone. */
    deltaRuleCudaSummarizeBackward(
      ...args: [
        ...common: DeltaRuleCudaArguments,
        dO: number,
        kept: number,
        segments: number,
        adjoint: number,
        leaving: number,
      ]
    ): void;
    /** On GPUs: every gradient. */
    deltaRuleCudaBackward(
      ...args: [
        ...common: DeltaRuleCudaArguments,
        dO: number,
        kept: number,
        segments: number | null,
        leaving: number | null,
        h0: number | null,
        dht: number | null,
        dq: number,
        dk: number,
        dv: number,
        dbeta: number | null,
        dg: number | null,
        db: number | null,
        dh0: number | null,
      ]
    ): void;
    /**
     * On GPUs, token by token, of every kind: o, the state after the slice, and what the backward pass needs, as large as
     * kept-on-gpu.ts says.
     * @throws LongscanError E-CUDA-KERNEL for head sizes without a kernel
     */
    deltaGeneralCudaForward(
      ...args: [...common: DeltaRuleArguments, h0: number | null, o: number, ht: number | null, kept: number]
    ): void;
    /** There: every gradient. */
    deltaGeneralCudaBackward(
      ...args: [
        ...common: DeltaRuleArguments,
        dO: number,
        kept: number,
        h0: number | null,
        dht: number | null,
        ...gradients: DeltaRuleGradientIds,
        dh0: number | null,
      ]
    ): void;
    /** There: E and Mᵀ of the slice, and whether a document starts in it, [B]. */
    deltaGeneralCudaSummarize(
      ...args: [...common: DeltaRuleArguments, state: number, factor: number, reset: number | null]
    ): void;
    /** There: dL/dh0 through this slice's outputs alone. */
    deltaGeneralCudaSummarizeBackward(
      ...args: [...common: DeltaRuleArguments, dO: number, adjoint: number]
    ): void;
    /** Whether the GPU's blocks have the shared memory for the chunkwise kernels of keys that erase of their own. */
    dplrCudaTakes(...args: [...common: DeltaRuleArguments]): boolean;
    /** There: o, the state after the slice, and what the backward pass needs, as large as kept-on-gpu.ts says. */
    dplrCudaForward(
      ...args: [...common: DeltaRuleArguments, h0: number | null, o: number, ht: number | null, kept: number]
    ): void;
    /** There: every gradient. */
    dplrCudaBackward(
      ...args: [
        ...common: DeltaRuleArguments,
        dO: number,
        kept: number,
        dht: number | null,
        ...gradients: DeltaRuleGradientIds,
        dh0: number | null,
      ]
    ): void;
  }
}
