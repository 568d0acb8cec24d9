import { activation, deltaRule, reshape } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { headDecay } from '../layer-parts/decay-gate.js';
import { deltaHeads, expectStrength } from '../layer-parts/delta-heads.js';
import { headOutput } from '../layer-parts/head-output.js';
import { expectCount, expectPositive } from '../layer-parts/layer-options.js';
import { projection } from '../layer-parts/projections.js';

/**
 * Gated DeltaProduct: Gated DeltaNet with `numHouseholders` delta steps for each token, each with its own k, v and β, so
 * that M of a token is a_t times a product of generalised Householder matrices. The decay acts before the
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
    const { numHeads: H, numHouseholders: n, betaMax, normEps } = config;
    expectCount('gated-deltaproduct', { numHouseholders: n });
    expectPositive('gated-deltaproduct', { normEps });
    expectStrength('gated-deltaproduct', betaMax);
    const op = deltaRule({ gate: config.useForgetGate ? 'scalar' : 'none', rowsPerToken: n });
    const steps = n === 1 ? [] : [n];
    const { V, query, key, value } = deltaHeads(param, 'gated-deltaproduct', config, { steps });
    const strength = projection(param, 'b', n * H);
    const decay = config.useForgetGate ? headDecay(param, H) : () => null;
    const gate = projection(param, 'g', H * V);
    const output = headOutput(param, { numHeads: H, size: V, normEps, gate });

    return (x, context) => {
      const [q, k, v] = [query(x, context), key(x, context), value(x, context)];
      const logits = reshape(strength(x), [x.dim(0), x.dim(1), ...steps, H]);
      const beta = activation('sigmoid', logits, betaMax, { wide: true });
      const g = decay(x); // [B, T, H], log decay, <= 0
      const inputs = { q, k, v, beta, g, b: null, e: null };
      return output(x, (meanwhile) => context.recurrence(op, inputs, meanwhile));
    };
  },
});
