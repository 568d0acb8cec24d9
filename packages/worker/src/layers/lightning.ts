import { activation, gatedLinear, linear, mul, reshape, rmsNorm } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { headSize } from '../layer-parts/head-size.js';
import { expectPositive } from '../layer-parts/layer-options.js';

const op = gatedLinear('fixed-scalar');

/**
 * Linear attention with one fixed decay per head. `decay = "lightning"` is TransNormer's and Lightning Attention's
 * schedule, log λ_h = -(8 h / H) (1 - layer / L): slower in later layers, none in the first head. `decay = "retnet"` is
 * λ_h = 1 - 2^(-5-h) in every layer (RetNet, arXiv 2307.08621, equation 8).
 * lightning: q, k and v pass a SiLU, one RMS norm over all heads, sigmoid output gate. retnet: q, k and v are plain, RMS
 * norm per head, Swish output gate.
 *
 * RetNet's rotation of q and k is not applied: a decay per head already orders the tokens.
 */
export default defineLayer({
  name: 'lightning',
  paper: 'https://arxiv.org/abs/2401.04658',
  transition: 'fixed-scalar',
  config: { numHeads: 4, expandK: 1, expandV: 1, decay: 'lightning', normEps: 1e-5 },
  choices: { decay: ['lightning', 'retnet'] },
  create(config, param) {
    const { numHeads: H, normEps } = config;
    expectPositive('lightning', { normEps });
    const K = headSize('lightning', 'expandK', config.expandK, param.dModel, H);
    const V = headSize('lightning', 'expandV', config.expandV, param.dModel, H);
    const wq = param.projection('q', H * K, param.dModel);
    const wk = param.projection('k', H * K, param.dModel);
    const wv = param.projection('v', H * V, param.dModel);
    const wg = param.projection('g', H * V, param.dModel);
    const isRetNet = config.decay === 'retnet';
    const norm = param.tensor('norm', [isRetNet ? V : H * V], { constant: 1 });
    const wo = param.projection('o', param.dModel, H * V);
    const decays = Array.from({ length: H }, (_, h) =>
      isRetNet ? Math.log1p(-(2 ** (-5 - h))) : lightningDecay(h, H, param.layer.index, param.layer.count),
    );
    const g = param.constant('decay', decays, [H]); // [H], log decay, <= 0

    return (x, context) => {
      const [B, T] = x.shape as [number, number, number];
      const project = (weight: typeof wq, size: number) => {
        const y = linear({ x, weight, bias: null });
        return reshape(isRetNet ? y : activation('silu', y), [B, T, H, size]);
      };
      const inputs = { q: project(wq, K), k: project(wk, K), v: project(wv, V), g };
      let gate = x;
      const o = context.recurrence(op, inputs, () => {
        gate = activation(isRetNet ? 'silu' : 'sigmoid', linear({ x, weight: wg, bias: null }));
      });
      const heads = isRetNet ? o : reshape(o, [B, T, H * V]);
      const normed = reshape(rmsNorm({ x: heads, weight: norm }, normEps), [B, T, H * V]);
      return linear({ x: mul({ a: normed, b: gate }), weight: wo, bias: null });
    };
  },
});

function lightningDecay(head: number, numHeads: number, layer: number, numLayers: number): number {
  return -((8 * head) / numHeads) * (1 - layer / numLayers);
}
