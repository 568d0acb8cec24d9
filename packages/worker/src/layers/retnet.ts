import { gatedLinear, rotary, type Tensor } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { headOutput } from '../layer-parts/head-output.js';
import { expectPairs, headSize } from '../layer-parts/head-size.js';
import { expectPositive } from '../layer-parts/layer-options.js';
import { headsProjection, projection } from '../layer-parts/projections.js';

const op = gatedLinear('fixed-scalar');

/**
 * Multi-scale retention: S_t = γ_h S_{t-1} + k_t v_tᵀ with γ_h = 1 - 2^(-5-h), q and k turned by rotary positions
 * (equations 5 to 8), an RMS norm per head (the group norm of equation 8, without its mean) and a Swish output gate.
 *
 * B batch, T tokens at hand, D model, H heads, K = expandK·D/H, V = expandV·D/H.
 */
export default defineLayer({
  name: 'retnet',
  paper: 'https://arxiv.org/abs/2307.08621',
  transition: 'fixed-scalar',
  config: { numHeads: 4, expandK: 1, expandV: 2, ropeTheta: 10000, normEps: 1e-5 },
  create(config, param) {
    const { numHeads: H, ropeTheta, normEps } = config;
    expectPositive('retnet', { ropeTheta, normEps });
    const D = param.dModel;
    const K = headSize('retnet', 'expandK', config.expandK, D, H);
    expectPairs('retnet', 'expandK', K);
    const V = headSize('retnet', 'expandV', config.expandV, D, H);
    const query = headsProjection(param, 'q', H, K);
    const key = headsProjection(param, 'k', H, K);
    const value = headsProjection(param, 'v', H, V);
    const gate = projection(param, 'g', H * V);
    const output = headOutput(param, { numHeads: H, size: V, normEps, gate });
    const decays = Array.from({ length: H }, (_, h) => Math.log1p(-(2 ** (-5 - h))));
    const g = param.constant('decay', decays, [H]); // [H], log decay, < 0

    return (x, context) => {
      const positions = context.positions(x);
      const turned = (rows: Tensor) => rotary(rows, positions, { theta: ropeTheta });
      const inputs = { q: turned(query(x)), k: turned(key(x)), v: value(x), g };
      return output(x, (meanwhile) => context.recurrence(op, inputs, meanwhile));
    };
  },
});
