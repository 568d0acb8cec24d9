import * as ops from '@longscan/kernels';
import { defineLayer, stepwise } from '@longscan/worker';

const column = (x: ops.Tensor) => ops.reshape(x, [...x.shape, 1]);
const times = (a: ops.Tensor, b: ops.Tensor, transposeB = false) =>
  ops.batchedMatmul({ a, b }, { transposeB });
/** A memory that leaks: S_t = a_t S_{t-1} + b_t (v_t - a_t S_{t-1} k_t) k_tᵀ, read as S_t q_t; S is [B, H, V, K]. */
const leakyDelta = stepwise<Record<'q' | 'k' | 'v' | 'a' | 'b', ops.Tensor>>({
  name: 'leaky-delta',
  transition: 'dense',
  stateShape: ({ k, v }) => [v.dim(-1), k.dim(-1)],
  step(S, { q, k, v, a, b }) {
    const kept = ops.mulAlong({ a: S, b: a }, 0);
    const error = ops.sub({ a: column(v), b: times(kept, column(k)) });
    const state = ops.add({ a: kept, b: times(ops.mulAlong({ a: error, b }, 0), column(k), true) });
    return { state, output: ops.reshape(times(state, column(q)), v.shape) };
  },
});

export default defineLayer({
  name: 'leaky-delta',
  paper: 'https://arxiv.org/abs/2406.06484', // the delta rule, without the leak
  transition: 'dense',
  config: { numHeads: 2 },
  create({ numHeads: H }, param) {
    const [D, K] = [param.dModel, param.dModel / H];
    const weights = ['q', 'k', 'v', 'o'].map((name) => param.projection(name, D, D));
    const [leak, rate] = ['leak', 'rate'].map((name) => param.projection(name, H, D));
    const bias = param.tensor('leak.bias', [H], { constant: 4 });
    return (x, context) => {
      const project = (i: number) => ops.linear({ x, weight: weights[i]!, bias: null });
      const [q, k, v] = [0, 1, 2].map((i) => ops.reshape(project(i), [x.dim(0), x.dim(1), H, K]));
      const a = ops.activation('sigmoid', ops.linear({ x, weight: leak!, bias }));
      const b = ops.activation('sigmoid', ops.linear({ x, weight: rate!, bias: null }));
      const y = context.recurrence(leakyDelta, { q: q!, k: ops.l2Norm(k!), v: v!, a, b });
      return ops.linear({ x: ops.reshape(y, x.shape), weight: weights[3]!, bias: null });
    };
  },
});
