import {
  activation,
  add,
  gatedLinear,
  layerNorm,
  linear,
  mul,
  mulAlong,
  reshape,
  splitLast,
  sub,
  type Tensor,
} from '@longscan/kernels';
import { defineLayer, type Init, type LayerPlace } from '../layer.js';
import { headSize } from '../layer-parts/head-size.js';
import { expectCount, expectPositive } from '../layer-parts/layer-options.js';
import { lowRank } from '../layer-parts/low-rank.js';

const op = gatedLinear('diagonal', { read: 'exclusive', scale: 1 });

/** What is mixed of a token and the one before it, each for itself. */
const mixed = ['r', 'w', 'k', 'v', 'g'] as const;
type Mixed = (typeof mixed)[number];

/**
 * RWKV-6 (Finch) time mixing: o_t = (S_{t-1} + diag(u) k_t v_tᵀ)ᵀ r_t, S_t = diag(w_t) S_{t-1} + k_t v_tᵀ with
 * w_t = exp(-exp(d_t)) per key channel (section 4.2), a group norm over heads and a Swish gate. Each of r, d, k, v and g is
 * computed from x_t + (x_{t-1} - x_t) ∘ μ_t, with μ_t = λ + tanh((x_t + (x_{t-1} - x_t) ∘ μ_x) A) B; d has a low-rank
 * projection with a bias. Everything starts as in the authors' code: λ, μ_x, d's bias and u by channel and depth.
 *
 * B batch, T tokens at hand, D model, H heads, K = expandK·D/H, V = expandV·D/H. The reference's one matrix B [D, 5·rank]
 * is here five, `mix.up.*` [D, rank].
 */
export default defineLayer({
  name: 'rwkv6',
  paper: 'https://arxiv.org/abs/2404.05892',
  transition: 'diagonal',
  config: { numHeads: 4, expandK: 1, expandV: 1, mixRank: 32, decayRank: 64, normEps: 6.4e-4 },
  create(config, param) {
    const { numHeads: H, mixRank, decayRank, normEps } = config;
    expectCount('rwkv6', { mixRank, decayRank });
    expectPositive('rwkv6', { normEps });
    const D = param.dModel;
    const K = headSize('rwkv6', 'expandK', config.expandK, D, H);
    const V = headSize('rwkv6', 'expandV', config.expandV, D, H);
    const small = { each: (_index: number, uniform: () => number) => 0.02 * uniform() - 0.01 };
    const mixX = param.tensor('mix.x', [D], { each: (i) => startOfMix('x', i / D, param.layer) });
    const mixDown = param.projection('mix.down', 5 * mixRank, D, { constant: 0 });
    const mixUp = mixed.map((name) => ({
      weight: param.projection(`mix.up.${name}`, D, mixRank, small),
      bias: param.tensor(`mix.${name}`, [D], { each: (i) => startOfMix(name, i / D, param.layer) }),
    }));
    const wr = param.projection('r', H * K, D);
    const wk = param.projection('k', H * K, D);
    const wv = param.projection('v', H * V, D);
    const wg = param.projection('g', H * V, D);
    const decay = lowRank(param, 'decay', {
      out: H * K,
      rank: decayRank,
      activation: 'tanh',
      bias: { each: (i) => startOfDecay(i / Math.max(H * K - 1, 1), param.layer) },
      down: { constant: 0 },
      up: small,
    });
    const firstBonus: Init = {
      each: (i) => startOfBonus(i, i / Math.max(H * K - 1, 1), param.layer),
    };
    const u = param.tensor('bonus', [H, K], firstBonus, { weightDecay: false });
    const normWeight = param.tensor('norm.weight', [H, V], { constant: 1 });
    const normBias = param.tensor('norm.bias', [H, V], { constant: 0 });
    const wo = param.projection('o', D, H * V);

    return (x, context) => {
      const [B, T] = x.shape as [number, number, number];
      const delta = sub({ a: context.tokenShift(x), b: x });
      const first = add({ a: x, b: mulAlong({ a: delta, b: mixX }, -1, x.dtype) });
      const down = activation('tanh', linear({ x: first, weight: mixDown, bias: null }));
      const ranks = splitLast(down, Array(5).fill(mixRank));
      const mix = (name: Mixed): Tensor => {
        const i = mixed.indexOf(name);
        return add({ a: x, b: mul({ a: delta, b: linear({ x: ranks[i]!, ...mixUp[i]! }) }) });
      };
      const project = (name: Mixed, weight: Tensor) => linear({ x: mix(name), weight, bias: null });
      const inputs = {
        q: reshape(project('r', wr), [B, T, H, K]),
        k: reshape(project('k', wk), [B, T, H, K]),
        v: reshape(project('v', wv), [B, T, H, V]),
        g: reshape(activation('exp', decay(mix('w')), -1, { wide: true }), [B, T, H, K]), // log decay, < 0
        u,
      };
      let gate = x;
      const o = context.recurrence(op, inputs, () => {
        gate = activation('silu', project('g', wg));
      });
      const normed = reshape(layerNorm({ x: o, weight: normWeight, bias: normBias }, normEps), [B, T, H * V]);
      return linear({ x: mul({ a: normed, b: gate }), weight: wo, bias: null });
    };
  },
});

/** 0 in the first layer, 1 in the last. */
function depth({ index, count }: LayerPlace): number {
  return index / Math.max(count - 1, 1);
}

/** λ or μ_x of a channel; `place` in [0, 1) is where it is among them. Later layers look back less. */
function startOfMix(name: Mixed | 'x', place: number, layer: LayerPlace): number {
  const fromPrevious = place ** (1 - layer.index / layer.count);
  if (name === 'v') return 1 - (fromPrevious + 0.3 * depth(layer));
  return 1 - (name === 'r' || name === 'g' ? Math.sqrt(fromPrevious) : fromPrevious);
}

/** d of a channel, from one that remembers over e^6 tokens to one over e; `place` in [0, 1]. */
function startOfDecay(place: number, layer: LayerPlace): number {
  return -6 + 5 * place ** (0.7 + 1.3 * depth(layer));
}

function startOfBonus(channel: number, place: number, layer: LayerPlace): number {
  return depth(layer) * (1 - place) + 0.1 * (((channel + 1) % 3) - 1);
}
