import {
  activation,
  appendOnes,
  gatedLinear,
  linear,
  normalizeLast,
  reshape,
  type Tensor,
} from '@longscan/kernels';
import { headSize } from '../head-size.js';
import { defineLayer } from '../layer.js';
import { expectPositive } from '../layer-options.js';

/**
 * Linear attention: S_t = S_{t-1} + φ(k_t) v_tᵀ, o_t = φ(q_t)ᵀ S_t, with `normalize` divided by φ(q_t)ᵀ Σ φ(k_s)
 * (equations 9 to 12). φ is `elu+1` (the paper's) or `identity`. The normaliser is one more column of v, so it travels
 * and is differentiated with the state.
 */
export default defineLayer({
  name: 'linear-attention',
  paper: 'https://arxiv.org/abs/2006.16236',
  transition: 'identity',
  config: { numHeads: 4, expandK: 1, expandV: 1, featureMap: 'elu+1', normalize: true, normalizerEps: 1e-6 },
  choices: { featureMap: ['identity', 'elu+1'] },
  create(config, param) {
    const { numHeads: H, featureMap, normalize, normalizerEps } = config;
    expectPositive('linear-attention', { normalizerEps });
    const K = headSize('linear-attention', 'expandK', config.expandK, param.dModel, H);
    const V = headSize('linear-attention', 'expandV', config.expandV, param.dModel, H);
    const wq = param.projection('q', H * K, param.dModel);
    const wk = param.projection('k', H * K, param.dModel);
    const wv = param.projection('v', H * V, param.dModel);
    const wo = param.projection('o', param.dModel, H * V);
    // With a normaliser any scale cancels; 1 keeps the sums large against its epsilon.
    const op = gatedLinear('identity', normalize ? { scale: 1 } : {});

    return (x, context) => {
      const [B, T] = x.shape as [number, number, number];
      const feature = (weight: Tensor) => {
        const y = linear({ x, weight, bias: null });
        return reshape(featureMap === 'elu+1' ? activation('elu+1', y) : y, [B, T, H, K]);
      };
      const v = reshape(linear({ x, weight: wv, bias: null }), [B, T, H, V]);
      const inputs = { q: feature(wq), k: feature(wk), v: normalize ? appendOnes(v) : v, g: null };
      const sums = context.recurrence(op, inputs);
      const o = normalize ? normalizeLast(sums, normalizerEps) : sums;
      return linear({ x: reshape(o, [B, T, H * V]), weight: wo, bias: null });
    };
  },
});
