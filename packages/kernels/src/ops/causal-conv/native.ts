/** What every function for CPUs begins with. */
type CausalConvArguments = readonly [
  stream: number,
  x: number,
  halo: number | null,
  taps: number,
  resets: number | null,
  bias: number | null,
  silu: boolean,
];

/** What every function for GPUs begins with. */
type CausalConvCudaArguments = readonly [
  stream: number,
  x: number,
  halo: number | null,
  weight: number,
  resets: number | null,
  bias: number | null,
  silu: boolean,
  headSize: number,
  rstd: number | null,
];

declare module '../../native.js' {
  interface Native {
    /**
     * y = act(bias + Σ taps of x [B, T, D]), act SiLU or none. taps [W, D], the last one of the token itself; halo
     * [B, W - 1, D] or null: zeros; resets i32 [B, T] or null
     */
    causalConvForward(...args: [...common: CausalConvArguments, y: number]): void;
    /**
     * dx; dHalo where there is a halo; the gradients of taps and bias by blocks of 64 tokens of a sequence, blocks
     * [B · ceil(T / 64), (W + 1) · D]
     */
    causalConvBackward(
      ...args: [...common: CausalConvArguments, dy: number, dx: number, dHalo: number | null, blocks: number]
    ): void;
    /**
     * On a GPU: the same from weight [D, W] as it is, of any type. With headSize > 0 heads of so many channels are then
     * scaled to length one, by rstd [B, T, D / headSize], f32.
     */
    causalConvCudaForward(...args: [...common: CausalConvCudaArguments, eps: number, y: number]): void;
    /** dx, dWeight, and unless null dHalo and dBias */
    causalConvCudaBackward(
      ...args: [
        ...common: CausalConvCudaArguments,
        dy: number,
        dx: number,
        dHalo: number | null,
        dWeight: number,
        dBias: number | null,
      ]
    ): void;
  }
}

export {};
