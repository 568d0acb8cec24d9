import { activation, deltaRule, l2Norm, linear, reshape } from '@longscan/kernels';
import { decayGate, logUniform, mambaStep } from '../decay-gate.js';
import { headOutput } from '../head-output.js';
import { headSize } from '../head-size.js';
import { defineLayer } from '../layer.js';
import { expectCount, expectPositive } from '../layer-options.js';
import { convolvedHeads } from '../short-conv.js';

/**
 * Gated DeltaProduct: Gated DeltaNet with `numHouseholders` delta steps for each token, each with its own k, v and β, so
 * that M of a token is a_t times a product of generalised Householder matrices (section 3). The decay acts before the
 * first step, the output is taken after the last. β = betaMax · σ(x W), 2 in the paper. DeltaProduct without
 * `useForgetGate`.
 *
 * B batch, T tokens at hand, D model, n steps, H heads, K = expandK·D/H, V = expandV·D/H.
 */
export default defineLayer({
  name: 'gated-deltaproduct',
  paper: 'https://arxiv.org/abs/2502.10297',
  transition: 'dense',
  config: {
    numHeads: 4,
    numHouseholders: 2,
    expandK: 0.75,
    expandV: 1.5,
    convSize: 4,
    betaMax: 2,
    useForgetGate: true,
    normEps: 1e-5,
  },
  create(config, param) {
    const { numHeads: H, numHouseholders: n, convSize, betaMax, useForgetGate, normEps } = config;
    expectCount('gated-deltaproduct', { numHouseholders: n, convSize });
    expectPositive('gated-deltaproduct', { betaMax, normEps });
    const K = headSize('gated-deltaproduct', 'expandK', config.expandK, param.dModel, H);
    const V = headSize('gated-deltaproduct', 'expandV', config.expandV, param.dModel, H);
    const op = deltaRule({ gate: useForgetGate ? 'scalar' : 'none', rowsPerToken: n });
    const steps = n === 1 ? [H] : [n, H];
    const query = convolvedHeads(param, 'q', [H], K, convSize);
    const key = convolvedHeads(param, 'k', steps, K, convSize);
    const value = convolvedHeads(param, 'v', steps, V, convSize);
    const wb = param.projection('b', n * H, param.dModel);
    const wa = useForgetGate ? param.projection('a', H, param.dModel) : null;
    const decay = wa && decayGate(param, { numHeads: H, rates: logUniform(0, 16), steps: mambaStep });
    const wg = param.projection('g', H * V, param.dModel);
    const output = headOutput(param, {
      numHeads: H,
      size: V,
      normEps,
      gate: (x) => linear({ x, weight: wg, bias: null }),
    });

    return (x, context) => {
      const [B, T] = x.shape as [number, number, number];
      const q = l2Norm(query(x, context));
      const k = l2Norm(key(x, context));
      const v = value(x, context);
      const logits = reshape(linear({ x, weight: wb, bias: null }), [B, T, ...steps]);
      const beta = activation('sigmoid', logits, betaMax);
      const g = wa && decay!(linear({ x, weight: wa, bias: null })); // [B, T, H], log decay, <= 0
      const inputs = { q, k, v, beta, g, b: null, e: null };
      return output(x, (meanwhile) => context.recurrence(op, inputs, meanwhile));
    };
  },
});
