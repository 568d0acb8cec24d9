/** Source of a small layer that works: linear attention with one learned, data-dependent decay per head. */
export function startingLayer(name: string): string {
  return `import { activation, gatedLinear, linear, reshape, rmsNorm } from '@longscan/kernels';
import { defineLayer } from '@longscan/worker';

const op = gatedLinear('scalar');

/**
 * What the layer computes, with the paper's equation numbers: here S_t = a_t S_{t-1} + k_t v_tᵀ, o_t = q_tᵀ S_t with one
 * decay a_t = σ(w x_t + b) per head.
 *
 * B batch, T tokens at hand, D model, H heads, K = V = D/H.
 */
export default defineLayer({
  name: '${name}',
  paper: 'https://arxiv.org/abs/0000.00000',
  transition: 'scalar',
  config: { numHeads: 4, normEps: 1e-5 }, // defaults; a job's options are checked against them
  create(config, param) {
    const { numHeads: H } = config;
    const K = param.dModel / H;
    const wq = param.projection('q', H * K, param.dModel);
    const wk = param.projection('k', H * K, param.dModel);
    const wv = param.projection('v', H * K, param.dModel);
    const wg = param.projection('g', H, param.dModel);
    const gateBias = param.tensor('g.bias', [H], { constant: 3 });
    const norm = param.tensor('norm', [K], { constant: 1 });
    const wo = param.projection('o', param.dModel, H * K);

    // x [B, T, D] to [B, T, D]; whatever looks beyond these T tokens goes through the context.
    return (x, context) => {
      const [B, T] = x.shape as [number, number, number];
      const q = reshape(linear({ x, weight: wq, bias: null }), [B, T, H, K]);
      const k = reshape(linear({ x, weight: wk, bias: null }), [B, T, H, K]);
      const v = reshape(linear({ x, weight: wv, bias: null }), [B, T, H, K]);
      const g = activation('log-sigmoid', linear({ x, weight: wg, bias: gateBias })); // [B, T, H], log decay, <= 0
      const o = context.recurrence(op, { q, k, v, g }); // [B, T, H, K]
      const normed = reshape(rmsNorm({ x: o, weight: norm }, config.normEps), [B, T, H * K]);
      return linear({ x: normed, weight: wo, bias: null });
    };
  },
});
`;
}
