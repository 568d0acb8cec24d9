import { activation, deltaRule } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { channelDecay } from '../layer-parts/decay-gate.js';
import { deltaHeads } from '../layer-parts/delta-heads.js';
import { headOutput } from '../layer-parts/head-output.js';
import { expectPositive } from '../layer-parts/layer-options.js';
import { lowRank } from '../layer-parts/low-rank.js';
import { projection } from '../layer-parts/projections.js';

const op = deltaRule({ gate: 'diagonal', read: 'value' });

/**
 * Gated Oja rule: S = S_{t-1} diag(a_t), S_t = S + β_t (k_t - S v_t) v_tᵀ, o_t = S_tᵀ q_t / √K. The delta rule with keys
 * and values exchanged (the paper has Oja's rule as a fast weight programmer), so M acts on the value axis:
 * right class. The state converges for β |v|² < 2, therefore v is of length one, as q and k are. Projections, decay per
 * value channel and gate follow KDA.
 *
 * B batch, T tokens at hand, D model, H heads, K = expandK·D/H, V = expandV·D/H.
 */
export default defineLayer({
  name: 'gated-oja',
  paper: 'https://arxiv.org/abs/2206.01649',
  transition: 'dense',
  config: { numHeads: 4, expandK: 1, expandV: 1, convSize: 4, normEps: 1e-5 },
  create(config, param) {
    const { numHeads: H, normEps } = config;
    expectPositive('gated-oja', { normEps });
    const { V, query, key, value } = deltaHeads(param, 'gated-oja', config, { unit: 'qkv' });
    const decay = channelDecay(param, H, V, V);
    const strength = projection(param, 'b', H);
    const gate = lowRank(param, 'g', { out: H * V, rank: V, bias: { constant: 0 } });
    const output = headOutput(param, { numHeads: H, size: V, normEps, gate, gateActivation: 'sigmoid' });

    return (x, context) => {
      const [q, k, v] = [query(x, context), key(x, context), value(x, context)];
      const g = decay(x); // [B, T, H, V], log decay, <= 0
      const beta = activation('sigmoid', strength(x), 1, { wide: true });
      // In the op's names, v is the key that is erased and written, and k its value.
      const inputs = { q, k: v, v: k, beta, g, b: null, e: null };
      return output(x, (meanwhile) => context.recurrence(op, inputs, meanwhile));
    };
  },
});
