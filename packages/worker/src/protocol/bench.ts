/** Recurrences that are timed, by the name of the layer that has them. */
export const benchOps = [
  'linear-attention',
  'lightning',
  'simple-gla',
  'gla',
  'deltanet',
  'gated-deltanet',
  'kda',
] as const;

export type BenchOp = (typeof benchOps)[number];

/** Sizes of one measurement: batch, tokens, heads, key and value channels of a head. */
export interface BenchShape {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
}
