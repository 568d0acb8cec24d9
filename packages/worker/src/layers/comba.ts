import { activation, deltaRule, l2Norm, mulAlong, sub } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { headDecay } from '../layer-parts/decay-gate.js';
import { deltaHeads } from '../layer-parts/delta-heads.js';
import { headOutput } from '../layer-parts/head-output.js';
import { expectPositive } from '../layer-parts/layer-options.js';
import { projection } from '../layer-parts/projections.js';

const op = deltaRule({ gate: 'scalar', erase: 'own' });

/**
 * Comba, a delta rule with closed-loop control: S_t = a_t S_{t-1} + β_t k_t (v_t - S_{t-1}ᵀ p_t)ᵀ, where the error is
 * taken against the state before its decay, and the output is corrected by reading with q - d p. As in the
 * reference implementation, p = k · σ(decay) per head, and q, k and p are brought to length one after that: so `decay`
 * acts through the correction. Decay and β as in Gated DeltaNet, a norm per head and a sigmoid output gate.
 *
 * B batch, T tokens at hand, D model, H heads, K = expandK·D/H, V = expandV·D/H.
 */
export default defineLayer({
  name: 'comba',
  paper: 'https://arxiv.org/abs/2506.02475',
  transition: 'dense',
  config: { numHeads: 4, expandK: 0.75, expandV: 1.5, convSize: 4, correction: 1, normEps: 1e-5 },
  create(config, param) {
    const { numHeads: H, correction, normEps } = config;
    expectPositive('comba', { correction, normEps });
    const { V, query, key, value } = deltaHeads(param, 'comba', config, { unit: '' });
    const innerDecay = param.tensor('decay', [H], { constant: 1 });
    const d = param.tensor('d', [H], { constant: correction });
    const decay = headDecay(param, H);
    const strength = projection(param, 'b', H);
    const gate = projection(param, 'g', H * V);
    const output = headOutput(param, { numHeads: H, size: V, normEps, gate, gateActivation: 'sigmoid' });

    return (x, context) => {
      const k = key(x, context);
      const p = mulAlong({ a: k, b: activation('sigmoid', innerDecay) }, 2, k.dtype);
      const q = sub({ a: query(x, context), b: mulAlong({ a: p, b: d }, 2, p.dtype) });
      const v = value(x, context);
      const g = decay(x); // [B, T, H], log decay, <= 0
      const beta = activation('sigmoid', strength(x), 1, { wide: true });
      const inputs = { q: l2Norm(q), k: l2Norm(k), v, beta, g, b: l2Norm(p), e: null };
      return output(x, (meanwhile) => context.recurrence(op, inputs, meanwhile));
    };
  },
});
