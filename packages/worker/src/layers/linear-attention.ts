import { activation, gatedLinear, linear, reshape, rotary, type Tensor } from '@longscan/kernels';
import { defineLayer, type ParameterDeclarer } from '../layer.js';
import { type HeadOutput, headOutput } from '../layer-parts/head-output.js';
import { expectPairs, headSize } from '../layer-parts/head-size.js';
import { expectPositive } from '../layer-parts/layer-options.js';
import { normalizedLinear, rotatedLinear } from '../layer-parts/normalized-linear.js';
import { type LinearHeads, type ProjectedLinear, projectedLinear } from '../layer-parts/projected-linear.js';
import { headsProjection } from '../layer-parts/projections.js';

const op = gatedLinear('identity');

/**
 * Linear attention: S_t = S_{t-1} + φ(k_t) v_tᵀ, o_t = φ(q_t)ᵀ S_t, with `normalize` divided by φ(q_t)ᵀ Σ φ(k_s)
 * (equations 9 to 12). φ is `elu+1` (the paper's) or `identity`. Without positions the sum is one over a bag of tokens:
 * `rotary` turns φ(q) and φ(k) by theirs (RoFormer, arXiv 2104.09864, section 3.3), for models that add none elsewhere.
 * `outputNorm`: an RMS norm per head on o_t, which stands in for the normaliser (TransNormer, arXiv 2210.10340).
 */
export default defineLayer({
  name: 'linear-attention',
  paper: 'https://arxiv.org/abs/2006.16236',
  transition: 'identity',
  config: {
    ...{ numHeads: 4, expandK: 1, expandV: 1, featureMap: 'elu+1', normalize: true, normalizerEps: 1e-6 },
    ...{ rotary: false, ropeTheta: 10000, outputNorm: false, normEps: 1e-5 },
  },
  choices: { featureMap: ['identity', 'elu+1'] },
  create(config, param) {
    const { numHeads: H, featureMap, normalize, normalizerEps, ropeTheta, normEps } = config;
    expectPositive('linear-attention', { normalizerEps, ropeTheta, normEps });
    const K = headSize('linear-attention', 'expandK', config.expandK, param.dModel, H);
    if (config.rotary) expectPairs('linear-attention', 'expandK', K);
    const V = headSize('linear-attention', 'expandV', config.expandV, param.dModel, H);
    const heads = { numHeads: H, K, V };
    const isPlain = featureMap === 'identity' && !normalize && !config.rotary;
    const recur = isPlain ? projectedLinear(param, heads) : mappedLinear(param, heads, config);
    const output = config.outputNorm
      ? headOutput(param, { numHeads: H, size: V, normEps, gate: null })
      : plainOutput(param, H * V);
    return (x, context) => output(x, (meanwhile) => recur(x, context, meanwhile));
  },
});

interface Mapping {
  readonly featureMap: string;
  readonly normalize: boolean;
  readonly normalizerEps: number;
  readonly rotary: boolean;
  readonly ropeTheta: number;
}

/** With features, positions or a normaliser between the projections and the recurrence. */
function mappedLinear(
  param: ParameterDeclarer,
  { numHeads: H, K, V }: LinearHeads,
  { featureMap, normalize, normalizerEps, rotary: isTurned, ropeTheta }: Mapping,
): ProjectedLinear {
  const query = headsProjection(param, 'q', H, K);
  const key = headsProjection(param, 'k', H, K);
  const value = headsProjection(param, 'v', H, V);
  const feature = (x: Tensor) => (featureMap === 'elu+1' ? activation('elu+1', x) : x);
  return (x, context) => {
    const inputs = { q: feature(query(x)), k: feature(key(x)), v: value(x) };
    const positions = isTurned ? context.positions(x) : null;
    const turn = (rows: Tensor) => (positions ? rotary(rows, positions, { theta: ropeTheta }) : rows);
    if (!normalize) {
      return context.recurrence(op, { q: turn(inputs.q), k: turn(inputs.k), v: inputs.v, g: null });
    }
    return positions
      ? rotatedLinear(inputs, turn, normalizerEps, context)
      : normalizedLinear(inputs, normalizerEps, context);
  };
}

/** The projection alone: a recurrence's output [B, T, H, V] to [B, T, D]. */
function plainOutput(param: ParameterDeclarer, size: number): HeadOutput {
  const weight = param.projection('o', param.dModel, size);
  return (x, recur) => {
    const o = recur(() => {});
    return linear({ x: reshape(o, [x.dim(0), x.dim(1), size]), weight, bias: null });
  };
}
