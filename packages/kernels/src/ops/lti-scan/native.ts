/** What every function here begins with. */
export type LtiScanArguments = readonly [
  stream: number,
  complex: boolean,
  u: number,
  logLambda: number,
  w: number,
  resets: number | null,
];

declare module '../../native.js' {
  interface Native {
    /**
     * y, the states that the backward pass starts again from (on a CPU those before every 64th token), the state after the
     * slice, λ^T; null for what is not wanted.
     * On a GPU parameters and states are f32, and λ^T comes without y.
     */
    ltiScanForward(
      ...args: [
        ...common: LtiScanArguments,
        h0: number | null,
        y: number | null,
        checkpoints: number | null,
        state: number,
        factor: number | null,
      ]
    ): void;
    /** adjoint = dL/dh0 through this slice's outputs alone. */
    ltiScanAdjoint(...args: [...common: LtiScanArguments, dy: number, adjoint: number]): void;
    /** All gradients from the adjoint dht (null: zero) of the state after the slice. */
    ltiScanBackward(
      ...args: [
        ...common: LtiScanArguments,
        dy: number,
        checkpoints: number,
        dht: number | null,
        du: number,
        dLogLambda: number,
        dw: number,
        dh0: number,
      ]
    ): void;
  }
}
