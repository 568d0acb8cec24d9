import { activation, gatedLinear, linear, mul, reshape, rmsNorm, type Tensor } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { headSize } from '../layer-parts/head-size.js';
import { expectPositive } from '../layer-parts/layer-options.js';
import { projection } from '../layer-parts/projections.js';

const op = gatedLinear('fixed-scalar');

/**
 * Lightning Attention, TransNormer's linear attention with one fixed decay per head: S_t = λ_h S_{t-1} + k_t v_tᵀ with
 * log λ_h = -(8 h / H) (1 - layer / L), slower in later layers, none in the first head. q, k and v pass a SiLU; an RMS norm
 * over all heads and a sigmoid output gate.
 *
 * B batch, T tokens at hand, D model, H heads, K = expandK·D/H, V = expandV·D/H.
 */
export default defineLayer({
  name: 'lightning',
  paper: 'https://arxiv.org/abs/2401.04658',
  transition: 'fixed-scalar',
  config: { numHeads: 4, expandK: 1, expandV: 1, normEps: 1e-5 },
  create(config, param) {
    const { numHeads: H, normEps } = config;
    expectPositive('lightning', { normEps });
    const K = headSize('lightning', 'expandK', config.expandK, param.dModel, H);
    const V = headSize('lightning', 'expandV', config.expandV, param.dModel, H);
    const query = projection(param, 'q', H * K);
    const key = projection(param, 'k', H * K);
    const value = projection(param, 'v', H * V);
    const gateLogits = projection(param, 'g', H * V);
    const norm = param.tensor('norm', [H * V], { constant: 1 });
    const wo = param.projection('o', param.dModel, H * V);
    const { index, count } = param.layer;
    const decays = Array.from({ length: H }, (_, h) => -((8 * h) / H) * (1 - index / count));
    const g = param.constant('decay', decays, [H]); // [H], log decay, <= 0

    return (x, context) => {
      const [B, T] = x.shape as [number, number, number];
      const heads = (y: Tensor, size: number) => reshape(activation('silu', y), [B, T, H, size]);
      const inputs = { q: heads(query(x), K), k: heads(key(x), K), v: heads(value(x), V), g };
      let gate = x;
      const o = context.recurrence(op, inputs, () => {
        gate = activation('sigmoid', gateLogits(x));
      });
      const normed = rmsNorm({ x: reshape(o, [B, T, H * V]), weight: norm }, normEps);
      return linear({ x: mul({ a: normed, b: gate }), weight: wo, bias: null });
    };
  },
});
