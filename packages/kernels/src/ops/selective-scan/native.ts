/** What every function here begins with. */
export type SelectiveScanArguments = readonly [
  stream: number,
  x: number,
  delta: number,
  A: number,
  B: number,
  C: number,
  resets: number | null,
];

declare module '../../native.js' {
  interface Native {
    /** y, the states before every 64th token, the state after the slice, Σ delta; null for what is not wanted. */
    selectiveScanForward(
      ...args: [
        ...common: SelectiveScanArguments,
        h0: number | null,
        y: number | null,
        checkpoints: number | null,
        state: number,
        sumDelta: number | null,
      ]
    ): void;
    /** adjoint = dL/dh0 through this slice's outputs alone. */
    selectiveScanAdjoint(...args: [...common: SelectiveScanArguments, dy: number, adjoint: number]): void;
    /** All gradients from the adjoint dht (null: zero) of the state after the slice. */
    selectiveScanBackward(
      ...args: [
        ...common: SelectiveScanArguments,
        dy: number,
        checkpoints: number,
        dht: number | null,
        dx: number,
        dDelta: number,
        dA: number,
        dB: number,
        dC: number,
        dh0: number,
      ]
    ): void;
  }
}
