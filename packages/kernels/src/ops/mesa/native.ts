/** What every function here begins with. */
export type MesaArguments = readonly [
  stream: number,
  q: number,
  k: number,
  v: number,
  beta: number,
  g: number,
  lambda: number,
  resets: number | null,
  h0: number | null,
];

declare module '../../native.js' {
  interface Native {
    /** The slice from `h0` (null: zero). Whatever is null of the rest is not computed; o and x go together. */
    mesaForward(
      ...args: [
        ...common: MesaArguments,
        o: number | null,
        x: number | null,
        state: number | null,
        factor: number | null,
      ]
    ): void;
    /**
     * What follows from the solutions: dq and dLambda [B, H, K], what the second sweep needs (states before every 32
     * tokens; on a GPU dq unrounded), and adjoint = dL/dh0 through this slice's outputs alone (null: not wanted).
     */
    mesaQueryGrad(
      ...args: [
        ...common: MesaArguments,
        x: number,
        dO: number,
        dq: number,
        dLambda: number,
        kept: number,
        adjoint: number | null,
      ]
    ): void;
    /** The other gradients from the adjoint dht of the state after the slice. */
    mesaKeyValueGrad(
      ...args: [
        ...common: MesaArguments,
        x: number,
        dO: number,
        dq: number,
        kept: number,
        dht: number | null,
        dk: number,
        dv: number,
        dBeta: number,
        dg: number,
        dh0: number | null,
      ]
    ): void;
  }
}
