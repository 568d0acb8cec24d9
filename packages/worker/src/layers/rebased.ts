import { featureMap, layerNorm, linear, reshape, type Tensor } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { headSize } from '../layer-parts/head-size.js';
import { expectCount, expectPositive } from '../layer-parts/layer-options.js';
import { normalizedLinear } from '../layer-parts/normalized-linear.js';
import { headsProjection } from '../layer-parts/projections.js';

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
    const query = headsProjection(param, 'q', H, featureDim);
    const key = headsProjection(param, 'k', H, featureDim);
    const value = headsProjection(param, 'v', H, V);
    const wo = param.projection('o', D, H * V);

    return (x, context) => {
      const feature = (rows: Tensor) =>
        featureMap('square', layerNorm({ x: rows, weight: gamma, bias: beta }, normEps));
      const inputs = { q: feature(query(x)), k: feature(key(x)), v: value(x) };
      const o = normalizedLinear(inputs, normalizerEps, context);
      return linear({ x: reshape(o, [...x.shape.slice(0, 2), H * V]), weight: wo, bias: null });
    };
  },
});
