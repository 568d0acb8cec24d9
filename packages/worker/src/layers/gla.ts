import { activation, gatedLinear, linear, mul, reshape, rmsNorm } from '@longscan/kernels';
import { headSize } from '../head-size.js';
import { defineLayer } from '../layer.js';
import { expectCount, expectPositive } from '../layer-options.js';

const op = gatedLinear('diagonal');

/**
 * Gated Linear Attention: S_t = diag(a_t) S_{t-1} + k_t v_tᵀ with a_t = σ(x W_1 W_2 + b)^(1/τ) per key channel
 * (equation 3 and section 4.4), an RMS norm per head and a Swish output gate.
 *
 * B batch, T tokens at hand, D model, H heads, K = expandK·D/H, V = expandV·D/H.
 */
export default defineLayer({
  name: 'gla',
  paper: 'https://arxiv.org/abs/2312.06635',
  transition: 'diagonal',
  config: { numHeads: 4, expandK: 0.5, expandV: 1, gateRank: 16, gateNormalizer: 16, normEps: 1e-5 },
  create(config, param) {
    const { numHeads: H, gateRank, gateNormalizer, normEps } = config;
    expectCount('gla', { gateRank });
    expectPositive('gla', { gateNormalizer, normEps });
    const K = headSize('gla', 'expandK', config.expandK, param.dModel, H);
    const V = headSize('gla', 'expandV', config.expandV, param.dModel, H);
    const wq = param.projection('q', H * K, param.dModel);
    const wk = param.projection('k', H * K, param.dModel);
    const wv = param.projection('v', H * V, param.dModel);
    const gateDown = param.projection('gate.down', gateRank, param.dModel);
    const gateUp = param.projection('gate.up', H * K, gateRank);
    const gateBias = param.tensor('gate.bias', [H * K], { constant: 0 });
    const wg = param.projection('g', H * V, param.dModel);
    const norm = param.tensor('norm', [V], { constant: 1 });
    const wo = param.projection('o', param.dModel, H * V);

    return (x, context) => {
      const [B, T] = x.shape as [number, number, number];
      const q = reshape(linear({ x, weight: wq, bias: null }), [B, T, H, K]);
      const k = reshape(linear({ x, weight: wk, bias: null }), [B, T, H, K]);
      const v = reshape(linear({ x, weight: wv, bias: null }), [B, T, H, V]);
      const rank = linear({ x, weight: gateDown, bias: null });
      const logits = linear({ x: rank, weight: gateUp, bias: gateBias });
      const g = reshape(activation('log-sigmoid', logits, 1 / gateNormalizer), [B, T, H, K]); // log decay, <= 0
      let gate = x;
      const o = context.recurrence(op, { q, k, v, g }, () => {
        gate = activation('silu', linear({ x, weight: wg, bias: null }));
      });
      const normed = reshape(rmsNorm({ x: o, weight: norm }, normEps), [B, T, H * V]);
      return linear({ x: mul({ a: normed, b: gate }), weight: wo, bias: null });
    };
  },
});
