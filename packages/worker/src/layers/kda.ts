import { activation, deltaRule } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { channelDecay } from '../layer-parts/decay-gate.js';
import { deltaHeads, expectStrength } from '../layer-parts/delta-heads.js';
import { headOutput } from '../layer-parts/head-output.js';
import { expectPositive } from '../layer-parts/layer-options.js';
import { lowRank } from '../layer-parts/low-rank.js';
import { projection } from '../layer-parts/projections.js';

const op = deltaRule({ gate: 'diagonal' });

/**
 * Kimi Delta Attention: S_t = (I - β_t k_t k_tᵀ) diag(a_t) S_{t-1} + β_t k_t v_tᵀ (equation 1) with a decay per key
 * channel a_t = exp(-A softplus(x W_1 W_2 + dt)), DeltaNet's convolved q, k, v, a norm per head and a sigmoid output gate
 * of low rank. Both ranks are V.
 *
 * B batch, T tokens at hand, D model, H heads, K = expandK·D/H, V = expandV·D/H.
 */
export default defineLayer({
  name: 'kda',
  paper: 'https://arxiv.org/abs/2510.26692',
  transition: 'dense',
  config: { numHeads: 4, expandK: 1, expandV: 1, convSize: 4, betaMax: 1, normEps: 1e-5 },
  create(config, param) {
    const { numHeads: H, betaMax, normEps } = config;
    expectPositive('kda', { normEps });
    expectStrength('kda', betaMax);
    const { K, V, query, key, value } = deltaHeads(param, 'kda', config);
    const decay = channelDecay(param, H, K, V);
    const strength = projection(param, 'b', H);
    const gate = lowRank(param, 'g', { out: H * V, rank: V, bias: { constant: 0 } });
    const output = headOutput(param, { numHeads: H, size: V, normEps, gate, gateActivation: 'sigmoid' });

    return (x, context) => {
      const [q, k, v] = [query(x, context), key(x, context), value(x, context)];
      const g = decay(x); // [B, T, H, K], log decay, <= 0
      const beta = activation('sigmoid', strength(x), betaMax, { wide: true });
      const inputs = { q, k, v, beta, g, b: null, e: null };
      return output(x, (meanwhile) => context.recurrence(op, inputs, meanwhile));
    };
  },
});
