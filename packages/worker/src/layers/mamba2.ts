import {
  activation,
  add,
  addAlong,
  gatedLinear,
  linear,
  mul,
  mulAlong,
  reshape,
  rmsNorm,
  splitLast,
  type Tensor,
} from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { logUniform, mambaStep } from '../layer-parts/decay-gate.js';
import { headSize } from '../layer-parts/head-size.js';
import { uniformWithin } from '../layer-parts/initial-values.js';
import { expectCount, expectPositive } from '../layer-parts/layer-options.js';

const op = gatedLinear('scalar', { scale: 1 });

/**
 * Mamba-2 (SSD): S_t = exp(Δ_t A) S_{t-1} + B_t (Δ_t x_t)ᵀ, y_t = S_tᵀ C_t + D x_t with one rate A < 0 and one step Δ_t per
 * head (section 7.1): linear attention with k = B, q = C, v = Δ x, which `numGroups` groups of heads share B and C of. One
 * projection gives z, x, B, C and Δ; x, B and C pass a causal convolution with SiLU; y ∘ silu(z) an RMS norm per group.
 *
 * B batch, T tokens at hand, D model, H heads, P = expand·D/H (the paper's 64), N numbers of state per channel.
 */
export default defineLayer({
  name: 'mamba2',
  paper: 'https://arxiv.org/abs/2405.21060',
  transition: 'scalar',
  config: { numHeads: 4, expand: 2, stateSize: 128, numGroups: 1, convSize: 4, normEps: 1e-5 },
  create({ numHeads: H, expand, stateSize: N, numGroups: G, convSize, normEps }, param) {
    expectCount('mamba2', { stateSize: N, numGroups: G, convSize, 'numHeads / numGroups': H / G });
    expectPositive('mamba2', { normEps });
    const P = headSize('mamba2', 'expand', expand, param.dModel, H);
    const C = H * P;
    const within = uniformWithin(convSize ** -0.5);
    const inward = param.projection('in', 2 * C + 2 * G * N + H, param.dModel);
    const conv = param.tensor('conv.weight', [C + 2 * G * N, convSize], within);
    const convBias = param.tensor('conv.bias', [C + 2 * G * N], within);
    const logRates = param.tensor('a_log', [H], logUniform(1, 16));
    const stepBias = param.tensor('dt_bias', [H], mambaStep);
    const skip = param.tensor('d', [H], { constant: 1 });
    const norm = param.tensor('norm', [C], { constant: 1 });
    const outward = param.projection('out', param.dModel, C);
    const evenly = param.constant('evenly', new Array<number>(C / G).fill(1), [C / G]);

    return (input, context) => {
      const [B, T] = input.shape as [number, number, number];
      const parts = splitLast(linear({ x: input, weight: inward, bias: null }), [C, C + 2 * G * N, H]);
      const [z, signals, steps] = parts as [Tensor, Tensor, Tensor];
      const convolved = context.causalConv1d(signals, conv, { bias: convBias, activation: 'silu' });
      const [channels, keys, queries] = splitLast(convolved, [C, G * N, G * N]) as [Tensor, Tensor, Tensor];
      const x = reshape(channels, [B, T, H, P]);
      const groups = (y: Tensor) => reshape(y, [B, T, G, N]);
      const delta = activation('softplus', addAlong({ a: steps, b: stepBias }, -1)); // [B, T, H]
      const g = mulAlong({ a: delta, b: activation('exp', logRates, -1) }, -1); // log decay, <= 0
      const v = mulAlong({ a: x, b: delta }, 0, x.dtype);
      let gate: Tensor = z;
      const y = context.recurrence(op, { q: groups(queries), k: groups(keys), v, g }, () => {
        gate = activation('silu', z);
      });
      const skipped = reshape(add({ a: y, b: mulAlong({ a: x, b: skip }, 2, x.dtype) }), [B, T, C]);
      const grouped = reshape(mul({ a: skipped, b: gate }), [B, T, G, C / G]);
      const normed = reshape(rmsNorm({ x: grouped, weight: evenly }, normEps), [B, T, C]);
      return linear({ x: mulAlong({ a: normed, b: norm }, -1, normed.dtype), weight: outward, bias: null });
    };
  },
});
