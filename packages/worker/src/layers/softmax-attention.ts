import { linear, reshape, rmsNorm, rotary, type Tensor } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { expectPairs, headSize } from '../layer-parts/head-size.js';
import { expectCount, expectPositive, expectWhole } from '../layer-parts/layer-options.js';
import { headsProjection } from '../layer-parts/projections.js';

/**
 * Softmax attention with rotary positions: o_t = Σ_s softmax_s(q_t·k_s / √K) v_s over the tokens of the document up to
 * t, or the last `window` of them (0: all). `numKvHeads` heads of keys and values serve all query heads in equal groups
 * (GQA, https://arxiv.org/abs/2305.13245; 0: one each). `qkNorm`: an RMS norm of every query and key before the rotation.
 *
 * B batch, T tokens at hand, D model, H heads, G key heads, K = D/H.
 */
export default defineLayer({
  name: 'softmax-attention',
  paper: 'https://arxiv.org/abs/1706.03762',
  transition: 'softmax',
  config: { numHeads: 4, numKvHeads: 0, window: 0, ropeTheta: 10000, qkNorm: false, normEps: 1e-5 },
  create(config, param) {
    const { numHeads: H, window, ropeTheta, qkNorm, normEps } = config;
    const D = param.dModel;
    const G = config.numKvHeads === 0 ? H : config.numKvHeads;
    expectPositive('softmax-attention', { ropeTheta, normEps });
    expectWhole('softmax-attention', { window, numKvHeads: config.numKvHeads });
    const K = headSize('softmax-attention', 'D', 1, D, H);
    expectPairs('softmax-attention', 'numHeads', K);
    expectCount('softmax-attention', { 'numHeads / numKvHeads': H / G });
    const query = headsProjection(param, 'q', H, K);
    const key = headsProjection(param, 'k', G, K);
    const value = headsProjection(param, 'v', G, K);
    const wo = param.projection('o', D, H * K);
    const qNorm = qkNorm ? param.tensor('q.norm', [K], { constant: 1 }) : null;
    const kNorm = qkNorm ? param.tensor('k.norm', [K], { constant: 1 }) : null;

    return (x, context) => {
      const [B, T] = x.shape as [number, number, number];
      const positions = context.positions(x);
      const turned = (rows: Tensor, weight: Tensor | null) => {
        const normed = weight === null ? rows : rmsNorm({ x: rows, weight }, normEps);
        return rotary(normed, positions, { theta: ropeTheta });
      };
      const inputs = { q: turned(query(x), qNorm), k: turned(key(x), kNorm), v: value(x) };
      const o = context.attention(inputs, window === 0 ? {} : { window });
      return linear({ x: reshape(o, [B, T, H * K]), weight: wo, bias: null });
    };
  },
});
