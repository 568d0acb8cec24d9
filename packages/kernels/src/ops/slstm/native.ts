/** What every function here begins with. */
export type SlstmArguments = readonly [
  stream: number,
  gates: number,
  recurrent: number,
  resets: number | null,
  h0: number | null,
];

declare module '../../native.js' {
  interface Native {
    /** The slice from `h0` (null: no token yet): h, what the backward pass needs, and the state after it. */
    slstmForward(
      ...args: [...common: SlstmArguments, h: number, sums: number, cells: number, state: number]
    ): void;
    /** All gradients from the adjoint dht of the state after the slice; dRecurrent for each batch row. */
    slstmBackward(
      ...args: [
        ...common: SlstmArguments,
        h: number,
        sums: number,
        cells: number,
        dH: number,
        dht: number | null,
        dGates: number,
        dRecurrent: number,
        dh0: number | null,
      ]
    ): void;
  }
}
