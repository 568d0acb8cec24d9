/** What every function here begins with. */
export type MlstmArguments = readonly [
  stream: number,
  scale: number,
  q: number,
  k: number,
  v: number,
  i: number,
  f: number,
  resets: number | null,
  h0: number | null,
];

declare module '../../native.js' {
  interface Native {
    /**
     * The slice from `h0` (null: empty). Whatever is null of the rest is not computed; h, normalizer and m go together.
     * On a GPU, where i, f, states and what is kept are f32, there are no checkpoints, and the factor comes without h.
     */
    mlstmForward(
      ...args: [
        ...common: MlstmArguments,
        h: number | null,
        normalizer: number | null,
        m: number | null,
        checkpoints: number | null,
        state: number | null,
        factor: number | null,
      ]
    ): void;
    /** adjoint = dL/dh0 through this slice's outputs alone, factor = exp(Σ f + m_in - m_out). */
    mlstmAdjoint(
      ...args: [
        ...common: MlstmArguments,
        h: number,
        normalizer: number,
        m: number,
        dH: number,
        adjoint: number,
        factor: number,
      ]
    ): void;
    /** All gradients from the adjoint dht of the state after the slice. */
    mlstmBackward(
      ...args: [
        ...common: MlstmArguments,
        h: number,
        normalizer: number,
        m: number,
        checkpoints: number | null,
        dH: number,
        dht: number | null,
        dq: number,
        dk: number,
        dv: number,
        di: number,
        df: number,
        dh0: number | null,
      ]
    ): void;
  }
}
