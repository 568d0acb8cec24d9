import { addAlong, cast, concatLast, layerNorm, reshape, slstm } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { headwiseProjection, smallInit } from '../layer-parts/headwise.js';
import { uniformWithin } from '../layer-parts/initial-values.js';
import { expectCount, expectPositive } from '../layer-parts/layer-options.js';

/**
 * The sLSTM layer of xLSTM (equations 8 to 17): with i, f, z, o = W x + R h_{t-1} + b, all block-diagonal by heads,
 * c_t = σ(f) c_{t-1} + e^i tanh z, n_t = σ(f) n_{t-1} + e^i, h_t = σ(o) c_t / n_t; then a layer norm per head, whose weight is
 * 1 plus that of the reference implementation. The input and forget gates see x through a convolution with SiLU. No
 * projection of the output: the feed-forward network of the block mixes the heads. `i` and `f` are named by what they feed;
 * over whole sequences the reference implementation feeds i with its `fgate` and f with its `igate`.
 *
 * Its gates read h_{t-1}, so it cannot be scanned: slices run one after the other, under `ring` only.
 *
 * B batch, T tokens at hand, D model, H heads, N = D/H.
 */
export default defineLayer({
  name: 'slstm',
  paper: 'https://arxiv.org/abs/2405.04517',
  transition: 'opaque',
  config: { numHeads: 4, convSize: 4, normEps: 1e-5 },
  create(config, param) {
    const { numHeads: H, convSize, normEps } = config;
    const D = param.dModel;
    const N = D / H;
    expectCount('slstm', { numHeads: H, convSize, 'model.dModel / numHeads': N });
    expectPositive('slstm', { normEps });
    const within = uniformWithin(convSize ** -0.5);
    const conv = param.tensor('conv.weight', [D, convSize], within);
    const convBias = param.tensor('conv.bias', [D], within);
    const heads = { numBlocks: H, size: N, init: smallInit(D) };
    const [input, forget, cell, output] = ['i', 'f', 'z', 'o'].map((name) =>
      headwiseProjection(param, name, heads),
    ) as [GateProjection, GateProjection, GateProjection, GateProjection];
    const { index, count } = param.layer;
    const depth = count > 1 ? index / (count - 1) : 0;
    const bias = param.tensor('bias', [H, 4, N], { each: (at) => firstBias(at, N, depth) });
    const recurrent = param.tensor('recurrent', [H, N, 4, N], { constant: 0 });
    const norm = param.tensor('norm', [H, N], { constant: 1 });

    return (x, context) => {
      const [B, T] = x.shape as [number, number, number];
      const c = context.causalConv1d(x, conv, { bias: convBias, activation: 'silu' });
      const parts = concatLast([input(c), forget(c), cell(x), output(x)]); // [B, T, H, 4 N]
      const gates = addAlong({ a: reshape(parts, [B, T, H, 4, N]), b: bias }, 2);
      const h = context.recurrence(slstm, { gates, recurrent });
      const normed = layerNorm({ x: cast(h, x.dtype), weight: norm, bias: null }, normEps);
      return reshape(normed, [B, T, D]);
    };
  },
});

type GateProjection = ReturnType<typeof headwiseProjection>;

/**
 * Biases [H, 4, N] of i, f, z and o: 0, but for f, which falls over a head's units from 5 to -7, the later the layer the
 * more of them near 5 (the published initialisation, a power law that depends on the block's `depth`, 0 to 1).
 */
function firstBias(at: number, N: number, depth: number): number {
  const isForget = Math.floor(at / N) % 4 === 1;
  const place = N === 1 ? 0 : (at % N) / (N - 1);
  return isForget ? 5 - 12 * place ** (0.3 + 1.3 * depth) : 0;
}
