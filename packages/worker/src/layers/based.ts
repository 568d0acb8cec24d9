import { featureMap, linear, reshape } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { headSize } from '../layer-parts/head-size.js';
import { expectCount, expectPositive } from '../layer-parts/layer-options.js';
import { normalizedLinear } from '../layer-parts/normalized-linear.js';
import { headsProjection } from '../layer-parts/projections.js';

/**
 * Based's linear attention: φ is the second-order Taylor series of exp, φ(q)·φ(k) = 1 + s + s²/2 with s = q·k/√F
 * (section 3.2), and o_t = Σ_s φ(q_t)·φ(k_s) v_s / Σ_s φ(q_t)·φ(k_s).
 *
 * F = featureDim, elements of a query or key before φ; V = D/H. The paper's short sliding window is a softmax-attention
 * layer beside it.
 */
export default defineLayer({
  name: 'based',
  paper: 'https://arxiv.org/abs/2402.18668',
  transition: 'identity',
  config: { numHeads: 4, featureDim: 16, normalizerEps: 1e-12 },
  create(config, param) {
    const { numHeads: H, featureDim, normalizerEps } = config;
    expectCount('based', { featureDim });
    expectPositive('based', { normalizerEps });
    const D = param.dModel;
    const V = headSize('based', 'D', 1, D, H);
    const query = headsProjection(param, 'q', H, featureDim);
    const key = headsProjection(param, 'k', H, featureDim);
    const value = headsProjection(param, 'v', H, V);
    const wo = param.projection('o', D, H * V);

    return (x, context) => {
      const q = featureMap('taylor', query(x));
      const k = featureMap('taylor', key(x));
      const o = normalizedLinear({ q, k, v: value(x) }, normalizerEps, context);
      return linear({ x: reshape(o, [...x.shape.slice(0, 2), H * V]), weight: wo, bias: null });
    };
  },
});
