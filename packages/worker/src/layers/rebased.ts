import { featureMap, layerNorm, linear, reshape, type Tensor } from '@longscan/kernels';
import { headSize } from '../head-size.js';
import { defineLayer } from '../layer.js';
import { expectCount, expectPositive } from '../layer-options.js';
import { normalizedLinear } from '../normalized-linear.js';
import { toHeads } from '../to-heads.js';

/**
 * ReBased: φ(x) = (γ ∘ norm(x) + β)², with γ and β learned and shared by queries, keys and heads, so that the minimum of
 * the parabola is learned too (section 4): φ(q)·φ(k) = (q̂·k̂)²/F and o_t = Σ_s φ(q_t)·φ(k_s) v_s / Σ_s φ(q_t)·φ(k_s).
 *
 * F = featureDim, elements of a query or key before φ; V = D/H.
 */
export default defineLayer({
  name: 'rebased',
  paper: 'https://arxiv.org/abs/2402.10644',
  transition: 'identity',
  config: { numHeads: 4, featureDim: 16, normalizerEps: 1e-5, normEps: 1e-5 },
  create(config, param) {
    const { numHeads: H, featureDim, normalizerEps, normEps } = config;
    expectCount('rebased', { featureDim });
    expectPositive('rebased', { normalizerEps, normEps });
    const D = param.dModel;
    const V = headSize('rebased', 'D', 1, D, H);
    const gamma = param.tensor('featureMap.gamma', [featureDim], { constant: 1 });
    const beta = param.tensor('featureMap.beta', [featureDim], { constant: 0 });
    const wq = param.projection('q', H * featureDim, D);
    const wk = param.projection('k', H * featureDim, D);
    const wv = param.projection('v', H * V, D);
    const wo = param.projection('o', D, H * V);

    return (x, context) => {
      const feature = (weight: Tensor) =>
        featureMap('square', layerNorm({ x: toHeads(x, weight, H), weight: gamma, bias: beta }, normEps));
      const inputs = { q: feature(wq), k: feature(wk), v: toHeads(x, wv, H) };
      const o = normalizedLinear(inputs, normalizerEps, context);
      return linear({ x: reshape(o, [...x.shape.slice(0, 2), H * V]), weight: wo, bias: null });
    };
  },
});
