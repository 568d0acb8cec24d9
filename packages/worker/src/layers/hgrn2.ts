import { activation, cast, gatedLinear, linear, reshape, rmsNorm } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { headSize } from '../layer-parts/head-size.js';
import { expectPositive } from '../layer-parts/layer-options.js';
import { lowerBoundedGate } from '../layer-parts/lower-bound.js';

const op = gatedLinear('diagonal');

/**
 * HGRN2: a gated linear RNN whose state is expanded by an outer product, S_t = diag(a_t) S_{t-1} + (1 - a_t) i_tᵀ,
 * o_t = S_tᵀ q_t (section 3), with q = silu(x W_q), the input i = x W_i and a forget gate bounded from below by depth (see
 * `lowerBoundedGate`); an RMS norm over all heads and no output gate.
 *
 * B batch, T tokens at hand, D model, H heads, K = expandK·D/H (the paper's expansion), V = expandV·D/H.
 */
export default defineLayer({
  name: 'hgrn2',
  paper: 'https://arxiv.org/abs/2404.07904',
  transition: 'diagonal',
  config: { numHeads: 4, expandK: 1, expandV: 1, normEps: 1e-5 },
  create({ numHeads: H, expandK, expandV, normEps }, param) {
    expectPositive('hgrn2', { normEps });
    const D = param.dModel;
    const K = headSize('hgrn2', 'expandK', expandK, D, H);
    const V = headSize('hgrn2', 'expandV', expandV, D, H);
    const wq = param.projection('q', H * K, D);
    const wf = param.projection('f', H * K, D);
    const wi = param.projection('i', H * V, D);
    const forgetGate = lowerBoundedGate(param, H * K);
    const norm = param.tensor('norm', [H * V], { constant: 1 });
    const wo = param.projection('o', D, H * V);

    return (x, context) => {
      const [B, T] = x.shape as [number, number, number];
      const keys = (y: typeof x) => reshape(y, [B, T, H, K]);
      const { log, complement } = forgetGate(linear({ x, weight: wf, bias: null }));
      const o = context.recurrence(op, {
        q: keys(activation('silu', linear({ x, weight: wq, bias: null }))),
        k: keys(cast(complement, x.dtype)),
        v: reshape(linear({ x, weight: wi, bias: null }), [B, T, H, V]),
        g: keys(log),
      });
      return linear({
        x: rmsNorm({ x: reshape(o, [B, T, H * V]), weight: norm }, normEps),
        weight: wo,
        bias: null,
      });
    };
  },
});
