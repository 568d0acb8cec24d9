import { activation, gatedLinear, reshape } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { headOutput } from '../layer-parts/head-output.js';
import { headSize } from '../layer-parts/head-size.js';
import { expectCount, expectPositive } from '../layer-parts/layer-options.js';
import { lowRank } from '../layer-parts/low-rank.js';
import { headsProjection, projection } from '../layer-parts/projections.js';

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
    const query = headsProjection(param, 'q', H, K);
    const key = headsProjection(param, 'k', H, K);
    const value = headsProjection(param, 'v', H, V);
    const forget = lowRank(param, 'gate', { out: H * K, rank: gateRank, bias: { constant: 0 } });
    const gate = projection(param, 'g', H * V);
    const output = headOutput(param, { numHeads: H, size: V, normEps, gate });

    return (x, context) => {
      const logits = reshape(forget(x), [x.dim(0), x.dim(1), H, K]);
      const g = activation('log-sigmoid', logits, 1 / gateNormalizer, { wide: true }); // log decay, <= 0
      const inputs = { q: query(x), k: key(x), v: value(x), g };
      return output(x, (meanwhile) => context.recurrence(op, inputs, meanwhile));
    };
  },
});
