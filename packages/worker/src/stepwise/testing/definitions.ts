import {
  activation,
  add,
  batchedMatmul,
  emptyLike,
  fill,
  mulAlong,
  reshape,
  sub,
  type Tensor,
} from '@longscan/kernels';
import type { StepDefinition } from '../step-definition.js';

/** q k [B, T, H, N]; v [B, T, H, R]; states are [B, H, R, N]. */
export interface KeyValueInputs extends Record<string, Tensor | null> {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

/** `g`: log decays, [B, T, H] or [B, T, H, N]. */
export interface DecayInputs extends KeyValueInputs {
  readonly g: Tensor;
}

const stateShape = ({ k, v }: KeyValueInputs) => [v.dim(-1), k.dim(-1)] as const;

const column = (x: Tensor) => reshape(x, [...x.shape, 1]);
const row = (x: Tensor) => reshape(x, [...x.shape.slice(0, -1), 1, x.dim(-1)]);
const outer = (v: Tensor, k: Tensor) => batchedMatmul({ a: column(v), b: row(k) });
/** S x for a state of rows S and x [B, H, N]. */
const read = (S: Tensor, x: Tensor) => reshape(batchedMatmul({ a: S, b: column(x) }), S.shape.slice(0, -1));

/** S + v kᵀ */
export const additive: StepDefinition<KeyValueInputs> = {
  name: 'additive',
  transition: 'identity',
  stateShape,
  step(S, { q, k, v }) {
    const state = add({ a: S, b: outer(v, k) });
    return { state, output: read(state, q) };
  },
};

/** e^g S + v kᵀ, one decay per head */
export const decayed: StepDefinition<DecayInputs> = {
  name: 'decayed',
  transition: 'scalar',
  stateShape,
  step(S, { q, k, v, g }) {
    const state = add({ a: mulAlong({ a: S, b: activation('exp', g) }, 0), b: outer(v, k) });
    return { state, output: read(state, q) };
  },
};

/** S diag(e^g) + v kᵀ, one decay per column */
export const gated: StepDefinition<DecayInputs> = {
  name: 'gated',
  transition: 'diagonal',
  stateShape,
  step(S, { q, k, v, g }) {
    const decays = outer(onesLike(v), activation('exp', g));
    const state = add({ a: mulAlong({ a: S, b: decays }, 0), b: outer(v, k) });
    return { state, output: read(state, q) };
  },
};

/** S + (v - S k) kᵀ: M = I - k kᵀ */
export const delta: StepDefinition<KeyValueInputs> = {
  name: 'delta',
  transition: 'dense',
  stateShape,
  step(S, { q, k, v }) {
    const state = add({ a: S, b: outer(sub({ a: v, b: read(S, k) }), k) });
    return { state, output: read(state, q) };
  },
};

/** The same on states [N, R], where M acts on columns and so mixes rows: a claim that is wrong. */
export const deltaOnColumns: StepDefinition<KeyValueInputs> = {
  ...delta,
  name: 'delta-on-columns',
  stateShape: ({ k, v }) => [k.dim(-1), v.dim(-1)],
  step(S, { q, k, v }) {
    const readColumns = (state: Tensor, x: Tensor) =>
      reshape(batchedMatmul({ a: state, b: column(x) }, { transposeA: true }), v.shape);
    const state = add({ a: S, b: outer(k, sub({ a: v, b: readColumns(S, k) })) });
    return { state, output: readColumns(state, q) };
  },
};

/** tanh(S + v kᵀ): not affine in S */
export const squashed: StepDefinition<KeyValueInputs> = {
  name: 'squashed',
  transition: 'opaque',
  stateShape,
  step(S, { q, k, v }) {
    const state = activation('tanh', add({ a: S, b: outer(v, k) }));
    return { state, output: read(state, q) };
  },
};

function onesLike(x: Tensor): Tensor {
  const ones = emptyLike(x);
  fill(ones, 1);
  return ones;
}
