import { activation, deltaRule, l2Norm, linear, type Tensor } from '@longscan/kernels';
import { headOutput } from '../head-output.js';
import { headSize } from '../head-size.js';
import { defineLayer } from '../layer.js';
import { expectCount, expectPositive } from '../layer-options.js';
import { convolvedHeads } from '../short-conv.js';

const op = deltaRule();

/**
 * DeltaNet: S_t = S_{t-1} + β_t k_t (v_t - S_{t-1}ᵀ k_t)ᵀ, o_t = S_tᵀ q_t / √K (equations 3 and 4). q, k and v pass a
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
    const { numHeads: H, convSize, betaMax, normEps } = config;
    expectCount('deltanet', { convSize });
    expectPositive('deltanet', { betaMax, normEps });
    const K = headSize('deltanet', 'expandK', config.expandK, param.dModel, H);
    const V = headSize('deltanet', 'expandV', config.expandV, param.dModel, H);
    const query = convolvedHeads(param, 'q', [H], K, convSize);
    const key = convolvedHeads(param, 'k', [H], K, convSize);
    const value = convolvedHeads(param, 'v', [H], V, convSize);
    const wb = param.projection('b', H, param.dModel);
    const wg = config.useGate ? param.projection('g', H * V, param.dModel) : null;
    const gate = wg && ((x: Tensor) => linear({ x, weight: wg, bias: null }));
    const output = headOutput(param, { numHeads: H, size: V, normEps, gate });

    return (x, context) => {
      const q = l2Norm(query(x, context));
      const k = l2Norm(key(x, context));
      const v = value(x, context);
      const beta = activation('sigmoid', linear({ x, weight: wb, bias: null }), betaMax);
      const inputs = { q, k, v, beta, g: null, b: null, e: null };
      return output(x, (meanwhile) => context.recurrence(op, inputs, meanwhile));
    };
  },
});
