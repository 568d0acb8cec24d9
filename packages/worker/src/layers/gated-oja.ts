import { activation, deltaRule, l2Norm, linear } from '@longscan/kernels';
import { decayGate, logUniform } from '../decay-gate.js';
import { headOutput } from '../head-output.js';
import { headSize } from '../head-size.js';
import { defineLayer } from '../layer.js';
import { expectCount, expectPositive } from '../layer-options.js';
import { lowRank } from '../low-rank.js';
import { convolvedHeads } from '../short-conv.js';

const op = deltaRule({ gate: 'diagonal', read: 'value' });

/**
 * Gated Oja rule: S = S_{t-1} diag(a_t), S_t = S + β_t (k_t - S v_t) v_tᵀ, o_t = S_tᵀ q_t / √K. The delta rule with keys
 * and values exchanged (Oja's rule as a fast weight programmer: the paper's table 1), so M acts on the value axis:
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
    const { numHeads: H, convSize, normEps } = config;
    expectCount('gated-oja', { convSize });
    expectPositive('gated-oja', { normEps });
    const K = headSize('gated-oja', 'expandK', config.expandK, param.dModel, H);
    const V = headSize('gated-oja', 'expandV', config.expandV, param.dModel, H);
    const query = convolvedHeads(param, 'q', [H], K, convSize);
    const key = convolvedHeads(param, 'k', [H], K, convSize);
    const value = convolvedHeads(param, 'v', [H], V, convSize);
    const forget = lowRank(param, 'f', { out: H * V, rank: V, bias: null });
    const decay = decayGate(param, {
      numHeads: H,
      size: V,
      rates: logUniform(1, 16),
      steps: { constant: 0 },
    });
    const wb = param.projection('b', H, param.dModel);
    const gate = lowRank(param, 'g', { out: H * V, rank: V, bias: { constant: 0 } });
    const output = headOutput(param, { numHeads: H, size: V, normEps, gate, gateActivation: 'sigmoid' });

    return (x, context) => {
      const q = l2Norm(query(x, context));
      const k = l2Norm(key(x, context));
      const v = l2Norm(value(x, context));
      const g = decay(forget(x)); // [B, T, H, V], log decay, <= 0
      const beta = activation('sigmoid', linear({ x, weight: wb, bias: null }));
      // In the op's names, v is the key that is erased and written, and k its value.
      const inputs = { q, k: v, v: k, beta, g, b: null, e: null };
      return output(x, (meanwhile) => context.recurrence(op, inputs, meanwhile));
    };
  },
});
