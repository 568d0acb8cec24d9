import {
  activation,
  add,
  affine,
  deltaRule,
  l2Norm,
  layerNorm,
  linear,
  mul,
  mulAlong,
  reshape,
  scale,
  sub,
  type Tensor,
} from '@longscan/kernels';
import { defineLayer, type Init, type ParameterDeclarer } from '../layer.js';
import { headSize } from '../layer-parts/head-size.js';
import { expectCount, expectPositive } from '../layer-parts/layer-options.js';
import { lowRank } from '../layer-parts/low-rank.js';
import { projection } from '../layer-parts/projections.js';

const op = deltaRule({ gate: 'diagonal', erase: 'dplr', scale: 1 });
/** Log decays lie in (-e^-½, 0). */
const strongestDecay = -Math.exp(-0.5);
/** Of the length of κ, as torch.nn.functional.normalize has it, here under the root. */
const lengthEps = 1e-12;

/** The published initialisation: fixed curves over the channels, some of them by depth. */
function startsOf({ dModel: D, layer: { index, count } }: ParameterDeclarer, K: number) {
  const depth = count > 1 ? index / (count - 1) : 0;
  const remaining = 1 - index / count;
  const along = (n: number) => n / Math.max(D - 1, 1);
  const linear = (n: number) => along(n) - 0.5;
  const zigzag = (n: number) => {
    const half = Math.max((K - 1) / 2, 0.5);
    const z = ((n % K) - (K - 1) / 2) / half;
    return z * Math.abs(z);
  };
  const each = (value: (n: number) => number): Init => ({ each: value });
  return {
    mix: (power: number) => each((n) => 1 - (n / D) ** (power * remaining)),
    decayBias: each((n) => -5.5 + 6 * along(n) ** (1 + depth ** 0.3) + 2.5 * zigzag(n)),
    rateBias: each((n) => -0.19 + 0.3 * zigzag(n) + 0.4 * linear(n)),
    valueBias: each((n) => 0.73 - 0.4 * linear(n)),
    removal: each((n) => 0.71 - 0.1 * linear(n)),
    norm: { constant: ((index + 1) / count) ** 0.7 },
  };
}

/**
 * RWKV-7's time mixing: S_t = diag(w_t) S_{t-1} - (a_t ∘ κ̂_t) (S_{t-1}ᵀ κ̂_t)ᵀ + k_t v_tᵀ, o_t = S_tᵀ r_t (the paper's
 * generalised delta rule, its state transposed). Each input of a projection is x mixed with the previous token's; w, a,
 * the gate and how far v is drawn towards the first layer's v are of low rank; then a norm per head, the bonus
 * Σ(r ∘ k ∘ r_k) v, and the gate. As the reference implementation, but for `v_lora`, which the first layer declares too,
 * without effect.
 *
 * B batch, T tokens at hand, D model, H heads, K = D/H.
 */
export default defineLayer({
  name: 'rwkv7',
  paper: 'https://arxiv.org/abs/2503.14456',
  transition: 'dense',
  config: { numHeads: 4, decayRank: 64, rateRank: 64, valueRank: 32, gateRank: 128, normEps: 1e-5 },
  create(config, param) {
    const { numHeads: H, decayRank, rateRank, valueRank, gateRank, normEps } = config;
    expectCount('rwkv7', { decayRank, rateRank, valueRank, gateRank });
    expectPositive('rwkv7', { normEps });
    const D = param.dModel;
    const K = headSize('rwkv7', 'numHeads', 1, D, H);
    const starts = startsOf(param, K);
    const mix = (name: string, power: number) => param.tensor(name, [D], starts.mix(power));
    const [mr, mw, mk] = [mix('x_r', 0.2), mix('x_w', 0.9), mix('x_k', 0.7)];
    const [mv, ma, mg] = [mix('x_v', 0.7), mix('x_a', 0.9), mix('x_g', 0.2)];
    const receptance = projection(param, 'r', D);
    const wk = param.projection('k', D, D, { normal: 0.1 / Math.sqrt(D) });
    const value = projection(param, 'v', D);
    const wo = param.projection('o', D, D, { constant: 0 });
    const narrow = (name: string, rank: number, bias: Init | null, between?: 'tanh' | 'sigmoid') =>
      lowRank(param, name, {
        ...{ out: D, rank, bias, down: { constant: 0 }, up: { normal: 0.1 / Math.sqrt(D) } },
        ...(between && { activation: between }),
      });
    const decay = narrow('w_lora', decayRank, starts.decayBias, 'tanh');
    const rate = narrow('a_lora', rateRank, starts.rateBias);
    const residual = narrow('v_lora', valueRank, starts.valueBias);
    const gate = narrow('g_lora', gateRank, null, 'sigmoid');
    const removal = param.tensor('k_k', [D], starts.removal);
    const replacement = param.tensor('k_a', [D], { constant: 1.02 });
    const bonus = param.tensor('r_k', [H, K], { constant: -0.04 }, { weightDecay: false });
    const norm = param.tensor('g_norm.weight', [H, K], starts.norm, { weightDecay: false });
    const normBias = param.tensor('g_norm.bias', [H, K], { constant: 0 });
    const ones = param.constant('ones', new Array<number>(K).fill(1), [1, K]);

    return (x, context) => {
      const [B, T] = x.shape as [number, number, number];
      const heads = (tensor: Tensor) => reshape(tensor, [B, T, H, K]);
      const change = sub({ a: context.tokenShift(x), b: x });
      const mixed = (m: Tensor) => add({ a: x, b: mulAlong({ a: change, b: m }, -1, x.dtype) });
      const r = heads(receptance(mixed(mr)));
      const g = heads(activation('sigmoid', decay(mixed(mw)), strongestDecay, { wide: true })); // log decay, < 0
      const k0 = linear({ x: mixed(mk), weight: wk, bias: null });
      const xv = mixed(mv);
      const v0 = value(xv);
      const first = context.share('rwkv7.v', () => v0);
      const towards = (other: Tensor) =>
        add({ a: v0, b: mul({ a: sub({ a: other, b: v0 }), b: activation('sigmoid', residual(xv)) }) });
      const v = heads(param.layer.index === 0 ? v0 : towards(first));
      const a = activation('sigmoid', rate(mixed(ma)));

      const removed = l2Norm(heads(mulAlong({ a: k0, b: removal }, -1, k0.dtype)), lengthEps);
      const kept = affine(mulAlong({ a: affine(a, 1, -1), b: replacement }, -1), 1, 1);
      const k = heads(mul({ a: k0, b: kept }, k0.dtype));
      const e = mul({ a: removed, b: heads(a) });
      let factor = x;
      const o = context.recurrence(op, { q: r, k, v, beta: null, g, b: scale(removed, -1), e }, () => {
        factor = gate(mixed(mg));
      });
      const normed = layerNorm({ x: o, weight: norm, bias: normBias }, K * normEps);
      const weights = linear({
        x: mulAlong({ a: mul({ a: r, b: k }), b: bonus }, 2),
        weight: ones,
        bias: null,
      });
      const own = mulAlong({ a: v, b: reshape(weights, [B, T, H]) }, 0, v.dtype);
      const values = reshape(add({ a: normed, b: own }), [B, T, D]);
      return linear({ x: mul({ a: values, b: factor }), weight: wo, bias: null });
    };
  },
});
