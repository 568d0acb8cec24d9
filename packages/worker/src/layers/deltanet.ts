import { activation, deltaRule } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { deltaHeads, expectStrength } from '../layer-parts/delta-heads.js';
import { headOutput } from '../layer-parts/head-output.js';
import { expectPositive } from '../layer-parts/layer-options.js';
import { projection } from '../layer-parts/projections.js';

const op = deltaRule();

/**
 * DeltaNet: S_t = S_{t-1} + β_t k_t (v_t - S_{t-1}ᵀ k_t)ᵀ, o_t = S_tᵀ q_t / √K. q, k and v pass a
 * short convolution and SiLU, q and k are of length one; β = betaMax · σ(x W), where 2 allows negative eigenvalues of M
 * (arXiv 2411.12537). Norm per head; no output gate unless `useGate`.
 *
 * B batch, T tokens at hand, D model, H heads, K = expandK·D/H, V = expandV·D/H.
 */
export default defineLayer({
  name: 'deltanet',
  paper: 'https://arxiv.org/abs/2406.06484',
  transition: 'dense',
  config: { numHeads: 4, expandK: 1, expandV: 1, convSize: 4, betaMax: 1, useGate: false, normEps: 1e-5 },
  create(config, param) {
    const { numHeads: H, betaMax, normEps } = config;
    expectPositive('deltanet', { normEps });
    expectStrength('deltanet', betaMax);
    const { V, query, key, value } = deltaHeads(param, 'deltanet', config);
    const strength = projection(param, 'b', H);
    const gate = config.useGate ? projection(param, 'g', H * V) : null;
    const output = headOutput(param, { numHeads: H, size: V, normEps, gate });

    return (x, context) => {
      const [q, k, v] = [query(x, context), key(x, context), value(x, context)];
      const beta = activation('sigmoid', strength(x), betaMax, { wide: true });
      const inputs = { q, k, v, beta, g: null, b: null, e: null };
      return output(x, (meanwhile) => context.recurrence(op, inputs, meanwhile));
    };
  },
});
