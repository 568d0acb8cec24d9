import { activation, affine, cast, gatedLinear, linear, reshape, rmsNorm, softmax } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { headSize } from '../layer-parts/head-size.js';
import { expectCount, expectPositive } from '../layer-parts/layer-options.js';

/** Which slots a query wants: keys summed in slots, each slot with a decay of its own. */
const keySlots = gatedLinear('diagonal', { decayOn: 'value', scale: 1 });
/** What is in those slots: with slots for keys, gated linear attention. */
const valueSlots = gatedLinear('diagonal', { scale: 1 });

/**
 * Gated Slot Attention: softmax attention over a fixed number M of slots that forget. With a_t = σ(x W_f)^(1/τ) per slot,
 * K̃_t = K̃_{t-1} diag(a_t) + k_t (1 - a_t)ᵀ, Ṽ_t = diag(a_t) Ṽ_{t-1} + (1 - a_t) v_tᵀ, o_t = Ṽ_tᵀ softmax(K̃_tᵀ q_t)
 * (section 3): two recurrences, the second of which reads with the softmax of what the first one read. q, k and v pass a
 * SiLU, the output a SiLU and an RMS norm over all heads.
 *
 * B batch, T tokens at hand, D model, H heads, K = expandK·D/H, V = expandV·D/H, M slots.
 */
export default defineLayer({
  name: 'gsa',
  paper: 'https://arxiv.org/abs/2409.07146',
  transition: 'diagonal',
  config: { numHeads: 4, expandK: 1, expandV: 1, numSlots: 64, gateNormalizer: 8, normEps: 1e-5 },
  create(config, param) {
    const { numHeads: H, numSlots: M, gateNormalizer, normEps } = config;
    expectCount('gsa', { numSlots: M });
    expectPositive('gsa', { gateNormalizer, normEps });
    const D = param.dModel;
    const K = headSize('gsa', 'expandK', config.expandK, D, H);
    const V = headSize('gsa', 'expandV', config.expandV, D, H);
    const wq = param.projection('q', H * K, D);
    const wk = param.projection('k', H * K, D);
    const wv = param.projection('v', H * V, D);
    const wf = param.projection('f', H * M, D);
    const norm = param.tensor('norm', [H * V], { constant: 1 });
    const wo = param.projection('o', D, H * V);

    return (x, context) => {
      const [B, T] = x.shape as [number, number, number];
      const project = (weight: typeof wq, size: number) =>
        reshape(activation('silu', linear({ x, weight, bias: null })), [B, T, H, size]);
      const logits = reshape(linear({ x, weight: wf, bias: null }), [B, T, H, M]);
      const g = activation('log-sigmoid', logits, 1 / gateNormalizer, { wide: true }); // [B, T, H, M], log decay, <= 0
      const written = cast(affine(activation('exp', g), -1, 1), x.dtype); // 1 - a
      const q = project(wq, K);
      let v = x;
      const wanted = context.recurrence(keySlots, { q, k: project(wk, K), v: written, g }, () => {
        v = project(wv, V);
      });
      const o = context.recurrence(valueSlots, { q: softmax(wanted), k: written, v, g });
      const normed = rmsNorm({ x: activation('silu', reshape(o, [B, T, H * V])), weight: norm }, normEps);
      return linear({ x: normed, weight: wo, bias: null });
    };
  },
});
