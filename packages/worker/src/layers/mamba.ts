import {
  activation,
  add,
  linear,
  mul,
  mulAlong,
  selectiveScan,
  splitLast,
  type Tensor,
} from '@longscan/kernels';
import { defineLayer, type Init } from '../layer.js';
import { mambaStep } from '../layer-parts/decay-gate.js';
import { headSize } from '../layer-parts/head-size.js';
import { uniformWithin } from '../layer-parts/initial-values.js';
import { expectCount } from '../layer-parts/layer-options.js';

/**
 * Mamba: a selective state space model per channel, h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t x_t, y_t = C_t h_t + D x_t
 * (equation 2 with the selection of algorithm 2), behind a causal convolution with SiLU and times a SiLU gate. Δ, B and C
 * come from the convolved x, Δ through a projection of rank `stepRank` (0: a sixteenth of the model's width) and a
 * softplus; A starts as -1 … -N (S4D-Real), Δ between 1e-3 and 1e-1.
 *
 * B batch, T tokens at hand, D model, C = expand·D channels, N numbers of state each.
 */
export default defineLayer({
  name: 'mamba',
  paper: 'https://arxiv.org/abs/2312.00752',
  transition: 'exp-diagonal',
  config: { expand: 2, stateSize: 16, convSize: 4, stepRank: 0 },
  create({ expand, stateSize: N, convSize, stepRank }, param) {
    const rank = stepRank === 0 ? Math.ceil(param.dModel / 16) : stepRank;
    expectCount('mamba', { stateSize: N, convSize, stepRank: rank });
    const C = headSize('mamba', 'expand', expand, param.dModel, 1);
    const inward = param.projection('in', 2 * C, param.dModel);
    const conv = param.tensor('conv.weight', [C, convSize], uniformWithin(convSize ** -0.5));
    const convBias = param.tensor('conv.bias', [C], uniformWithin(convSize ** -0.5));
    const select = param.projection('x', rank + 2 * N, C);
    const step = param.projection('dt', C, rank, uniformWithin(rank ** -0.5));
    const stepBias = param.tensor('dt_bias', [C], mambaStep);
    const firstRates: Init = { each: (index) => Math.log((index % N) + 1) };
    const logRates = param.tensor('a_log', [C, N], firstRates, { weightDecay: false });
    const skip = param.tensor('d', [C], { constant: 1 });
    const outward = param.projection('out', param.dModel, C);

    return (x, context) => {
      const [signal, z] = splitLast(linear({ x, weight: inward, bias: null }), [C, C]) as [Tensor, Tensor];
      const u = context.causalConv1d(signal, conv, { bias: convBias, activation: 'silu' });
      const selected = splitLast(linear({ x: u, weight: select, bias: null }), [rank, N, N]);
      const [low, B, readout] = selected as [Tensor, Tensor, Tensor];
      const delta = activation('softplus', linear({ x: low, weight: step, bias: stepBias }));
      const A = activation('exp', logRates, -1);
      let gate: Tensor = z;
      const y = context.recurrence(selectiveScan, { x: u, delta, A, B, C: readout }, () => {
        gate = activation('silu', z);
      });
      const skipped = add({ a: y, b: mulAlong({ a: u, b: skip }, -1, u.dtype) });
      return linear({ x: mul({ a: skipped, b: gate }), weight: outward, bias: null });
    };
  },
});
