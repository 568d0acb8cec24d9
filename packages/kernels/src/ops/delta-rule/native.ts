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
    deltaRuleAdjoint(
      ...args: [
        ...common: DeltaRuleArguments,
        dO: number,
        adjoint: number,
      ]
    ): void;
    /** All gradients from the adjoint dht of the state after the slice (null: zero). */
    deltaRuleBackward(
      ...args: [
        ...common: DeltaRuleArguments,
        dO: number,
        checkpoints: number,
        dht: number | null,
        dq: number,
        dk: number,
        dv: number,
        dbeta: number | null,
        dg: number | null,
        db: number | null,
        de: number | null,
        dh0: number | null,
      ]
    ): void;
  }
}
