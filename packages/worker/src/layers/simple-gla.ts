import { activation, gatedLinear, linear } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { headOutput } from '../layer-parts/head-output.js';
import { headSize } from '../layer-parts/head-size.js';
import { expectPositive, expectWhole } from '../layer-parts/layer-options.js';
import { headsProjection, projection } from '../layer-parts/projections.js';
import { convolvedHeads } from '../layer-parts/short-conv.js';

const op = gatedLinear('scalar');

/**
 * GLA with one decay per head and token: S_t = a_t S_{t-1} + k_t v_tᵀ with a_t = σ(x W + b)^(1/τ), an RMS norm per head
 * and a Swish output gate. The state form of Mamba-2 (arXiv 2405.21060) with GLA's projections; RetNet with a gate. As in
 * the reference implementation q, k and v pass a short convolution with SiLU; `convSize` 0: neither.
 *
 * B batch, T tokens at hand, D model, H heads, K = expandK·D/H, V = expandV·D/H.
 */
export default defineLayer({
  name: 'simple-gla',
  paper: 'https://arxiv.org/abs/2405.21060',
  transition: 'scalar',
  config: { numHeads: 4, expandK: 1, expandV: 1, convSize: 4, gateNormalizer: 16, normEps: 1e-5 },
  create(config, param) {
    const { numHeads: H, convSize, gateNormalizer, normEps } = config;
    expectWhole('simple-gla', { convSize });
    expectPositive('simple-gla', { gateNormalizer, normEps });
    const K = headSize('simple-gla', 'expandK', config.expandK, param.dModel, H);
    const V = headSize('simple-gla', 'expandV', config.expandV, param.dModel, H);
    const heads = (name: string, size: number) =>
      convSize === 0
        ? headsProjection(param, name, H, size)
        : convolvedHeads(param, name, [H], size, convSize);
    const [query, key, value] = [heads('q', K), heads('k', K), heads('v', V)];
    const gateWeight = param.projection('gate.weight', H, param.dModel);
    const gateBias = param.tensor('gate.bias', [H], { constant: 0 });
    const gate = projection(param, 'g', H * V);
    const output = headOutput(param, { numHeads: H, size: V, normEps, gate });

    return (x, context) => {
      const [q, k, v] = [query(x, context), key(x, context), value(x, context)];
      const logits = linear({ x, weight: gateWeight, bias: gateBias });
      const g = activation('log-sigmoid', logits, 1 / gateNormalizer, { wide: true }); // [B, T, H], log decay, <= 0
      return output(x, (meanwhile) => context.recurrence(op, { q, k, v, g }, meanwhile));
    };
  },
});
