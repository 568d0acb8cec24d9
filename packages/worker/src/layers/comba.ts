import { activation, deltaRule, l2Norm, linear, mulAlong, sub } from '@longscan/kernels';
import { decayGate, logUniform, mambaStep } from '../decay-gate.js';
import { headOutput } from '../head-output.js';
import { headSize } from '../head-size.js';
import { defineLayer } from '../layer.js';
import { expectCount, expectPositive } from '../layer-options.js';
import { convolvedHeads } from '../short-conv.js';

const op = deltaRule({ gate: 'scalar', erase: 'own' });

/**
 * Comba, a delta rule with closed-loop control: S_t = a_t S_{t-1} + β_t k_t (v_t - S_{t-1}ᵀ p_t)ᵀ, where the error is
 * taken against the state before its decay (equation 10), and the output is corrected by reading with q - d p. As in the
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
    const { numHeads: H, convSize, correction, normEps } = config;
    expectCount('comba', { convSize });
    expectPositive('comba', { correction, normEps });
    const K = headSize('comba', 'expandK', config.expandK, param.dModel, H);
    const V = headSize('comba', 'expandV', config.expandV, param.dModel, H);
    const query = convolvedHeads(param, 'q', [H], K, convSize);
    const key = convolvedHeads(param, 'k', [H], K, convSize);
    const value = convolvedHeads(param, 'v', [H], V, convSize);
    const innerDecay = param.tensor('decay', [H], { constant: 1 });
    const d = param.tensor('d', [H], { constant: correction });
    const wa = param.projection('a', H, param.dModel);
    const decay = decayGate(param, { numHeads: H, rates: logUniform(0, 16), steps: mambaStep });
    const wb = param.projection('b', H, param.dModel);
    const wg = param.projection('g', H * V, param.dModel);
    const output = headOutput(param, {
      numHeads: H,
      size: V,
      normEps,
      gate: (x) => linear({ x, weight: wg, bias: null }),
      gateActivation: 'sigmoid',
    });

    return (x, context) => {
      const k = key(x, context);
      const p = mulAlong({ a: k, b: activation('sigmoid', innerDecay) }, 2);
      const q = sub({ a: query(x, context), b: mulAlong({ a: p, b: d }, 2) });
      const v = value(x, context);
      const g = decay(linear({ x, weight: wa, bias: null })); // [B, T, H], log decay, <= 0
      const beta = activation('sigmoid', linear({ x, weight: wb, bias: null }));
      const inputs = { q: l2Norm(q), k: l2Norm(k), v, beta, g, b: l2Norm(p), e: null };
      return output(x, (meanwhile) => context.recurrence(op, inputs, meanwhile));
    };
  },
});
