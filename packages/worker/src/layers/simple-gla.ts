import { activation, gatedLinear, linear, mul, reshape, rmsNorm } from '@longscan/kernels';
import { headSize } from '../head-size.js';
import { defineLayer } from '../layer.js';
import { expectPositive } from '../layer-options.js';

const op = gatedLinear('scalar');

/**
 * GLA with one decay per head and token: S_t = a_t S_{t-1} + k_t v_tᵀ with a_t = σ(x W + b)^(1/τ), an RMS norm per head
 * and a Swish output gate. The state form of Mamba-2 (arXiv 2405.21060) with GLA's projections; RetNet with a gate.
 *
 * B batch, T tokens at hand, D model, H heads, K = expandK·D/H, V = expandV·D/H.
 */
export default defineLayer({
  name: 'simple-gla',
  paper: 'https://arxiv.org/abs/2405.21060',
  transition: 'scalar',
  config: { numHeads: 4, expandK: 1, expandV: 1, gateNormalizer: 16, normEps: 1e-5 },
  create(config, param) {
    const { numHeads: H, gateNormalizer, normEps } = config;
    expectPositive('simple-gla', { gateNormalizer, normEps });
    const K = headSize('simple-gla', 'expandK', config.expandK, param.dModel, H);
    const V = headSize('simple-gla', 'expandV', config.expandV, param.dModel, H);
    const wq = param.projection('q', H * K, param.dModel);
    const wk = param.projection('k', H * K, param.dModel);
    const wv = param.projection('v', H * V, param.dModel);
    const gateWeight = param.projection('gate.weight', H, param.dModel);
    const gateBias = param.tensor('gate.bias', [H], { constant: 0 });
    const wg = param.projection('g', H * V, param.dModel);
    const norm = param.tensor('norm', [V], { constant: 1 });
    const wo = param.projection('o', param.dModel, H * V);

    return (x, context) => {
      const [B, T] = x.shape as [number, number, number];
      const q = reshape(linear({ x, weight: wq, bias: null }), [B, T, H, K]);
      const k = reshape(linear({ x, weight: wk, bias: null }), [B, T, H, K]);
      const v = reshape(linear({ x, weight: wv, bias: null }), [B, T, H, V]);
      const logits = linear({ x, weight: gateWeight, bias: gateBias });
      const g = activation('log-sigmoid', logits, 1 / gateNormalizer); // [B, T, H], log decay, <= 0
      let gate = x;
      const o = context.recurrence(op, { q, k, v, g }, () => {
        gate = activation('silu', linear({ x, weight: wg, bias: null }));
      });
      const normed = reshape(rmsNorm({ x: o, weight: norm }, normEps), [B, T, H * V]);
      return linear({ x: mul({ a: normed, b: gate }), weight: wo, bias: null });
    };
  },
});
