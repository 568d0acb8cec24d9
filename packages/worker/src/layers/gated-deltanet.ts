import { activation, deltaRule } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { headDecay } from '../layer-parts/decay-gate.js';
import { deltaHeads, expectStrength } from '../layer-parts/delta-heads.js';
import { headOutput } from '../layer-parts/head-output.js';
import { expectPositive } from '../layer-parts/layer-options.js';
import { projection } from '../layer-parts/projections.js';

const op = deltaRule({ gate: 'scalar' });

/**
 * Gated DeltaNet: S_t = a_t (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ (equation 10) with Mamba-2's decay
 * a_t = exp(-A softplus(x W + dt)) per head, β = betaMax · σ(x W), DeltaNet's convolved q, k, v, a norm per head and a
 * Swish output gate.
 *
 * B batch, T tokens at hand, D model, H heads, K = expandK·D/H, V = expandV·D/H.
 */
export default defineLayer({
  name: 'gated-deltanet',
  paper: 'https://arxiv.org/abs/2412.06464',
  transition: 'dense',
  config: { numHeads: 4, expandK: 0.75, expandV: 1.5, convSize: 4, betaMax: 1, normEps: 1e-5 },
  create(config, param) {
    const { numHeads: H, betaMax, normEps } = config;
    expectPositive('gated-deltanet', { normEps });
    expectStrength('gated-deltanet', betaMax);
    const { V, query, key, value } = deltaHeads(param, 'gated-deltanet', config);
    const decay = headDecay(param, H);
    const strength = projection(param, 'b', H);
    const gate = projection(param, 'g', H * V);
    const output = headOutput(param, { numHeads: H, size: V, normEps, gate });

    return (x, context) => {
      const [q, k, v] = [query(x, context), key(x, context), value(x, context)];
      const g = decay(x); // [B, T, H], log decay, <= 0
      const beta = activation('sigmoid', strength(x), betaMax, { wide: true });
      const inputs = { q, k, v, beta, g, b: null, e: null };
      return output(x, (meanwhile) => context.recurrence(op, inputs, meanwhile));
    };
  },
});
