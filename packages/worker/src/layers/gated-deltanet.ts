import { activation, deltaRule, l2Norm, linear } from '@longscan/kernels';
import { decayGate, logUniform, mambaStep } from '../decay-gate.js';
import { headOutput } from '../head-output.js';
import { headSize } from '../head-size.js';
import { defineLayer } from '../layer.js';
import { expectCount, expectPositive } from '../layer-options.js';
import { convolvedHeads } from '../short-conv.js';

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
    const { numHeads: H, convSize, betaMax, normEps } = config;
    expectCount('gated-deltanet', { convSize });
    expectPositive('gated-deltanet', { betaMax, normEps });
    const K = headSize('gated-deltanet', 'expandK', config.expandK, param.dModel, H);
    const V = headSize('gated-deltanet', 'expandV', config.expandV, param.dModel, H);
    const query = convolvedHeads(param, 'q', [H], K, convSize);
    const key = convolvedHeads(param, 'k', [H], K, convSize);
    const value = convolvedHeads(param, 'v', [H], V, convSize);
    const wa = param.projection('a', H, param.dModel);
    const decay = decayGate(param, { numHeads: H, rates: logUniform(0, 16), steps: mambaStep });
    const wb = param.projection('b', H, param.dModel);
    const wg = param.projection('g', H * V, param.dModel);
    const output = headOutput(param, {
      numHeads: H,
      size: V,
      normEps,
      gate: (x) => linear({ x, weight: wg, bias: null }),
    });

    return (x, context) => {
      const q = l2Norm(query(x, context));
      const k = l2Norm(key(x, context));
      const v = value(x, context);
      const g = decay(linear({ x, weight: wa, bias: null })); // [B, T, H], log decay, <= 0
      const beta = activation('sigmoid', linear({ x, weight: wb, bias: null }), betaMax);
      const inputs = { q, k, v, beta, g, b: null, e: null };
      return output(x, (meanwhile) => context.recurrence(op, inputs, meanwhile));
    };
  },
});
