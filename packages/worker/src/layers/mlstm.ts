import {
  activation,
  add,
  concatLast,
  layerNorm,
  linear,
  mlstm,
  mul,
  mulAlong,
  reshape,
  splitLast,
  wide,
} from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { headSize } from '../layer-parts/head-size.js';
import { headwiseProjection, smallInit } from '../layer-parts/headwise.js';
import { uniformWithin } from '../layer-parts/initial-values.js';
import { expectCount, expectPositive } from '../layer-parts/layer-options.js';

const op = mlstm();

/**
 * The mLSTM layer of xLSTM: x is widened to two branches of expand·D. One passes a convolution with SiLU (c), gives q and
 * k from c and v from itself by block-diagonal projections of `blockSize` features, and runs C_t = f C_{t-1} + i v kᵀ,
 * n_t = f n_{t-1} + i k, h_t = C q / max(|n·q|, 1) (equations 19 to 27) with i = exp(W_i [q k v] + b_i) and
 * f = σ(W_f [q k v] + b_f) per head; the other, z, gates: y = W_down ((norm(h) + skip ∘ c) ∘ SiLU(z)). The norm is a
 * layer norm per head; its weight is 1 plus that of the reference implementation.
 *
 * B batch, T tokens at hand, D model, H heads, N = expand·D/H, W = expand·D.
 */
export default defineLayer({
  name: 'mlstm',
  paper: 'https://arxiv.org/abs/2405.04517',
  transition: 'log-max',
  config: { numHeads: 4, expand: 2, convSize: 4, blockSize: 4, normEps: 1e-5 },
  create(config, param) {
    const { numHeads: H, convSize, blockSize, normEps } = config;
    const D = param.dModel;
    expectPositive('mlstm', { normEps });
    const N = headSize('mlstm', 'expand', config.expand, D, H);
    const W = H * N;
    const numBlocks = W / blockSize;
    expectCount('mlstm', { convSize, blockSize, 'expand × model.dModel / blockSize': numBlocks });
    const small = smallInit(D);
    const up = param.projection('up', 2 * W, D, small);
    const within = uniformWithin(convSize ** -0.5);
    const conv = param.tensor('conv.weight', [W, convSize], within);
    const convBias = param.tensor('conv.bias', [W], within);
    const blocks = { numBlocks, size: blockSize, init: small };
    const query = headwiseProjection(param, 'q', blocks);
    const key = headwiseProjection(param, 'k', blocks);
    const value = headwiseProjection(param, 'v', blocks);
    const wi = param.projection('i', H, 3 * W, { constant: 0 });
    const iBias = param.tensor('i.bias', [H], { normal: 0.1 });
    const wf = param.projection('f', H, 3 * W, { constant: 0 });
    // From 3 to 6: heads forget at different rates, all of them slowly.
    const fBias = param.tensor('f.bias', [H], { each: (h) => 3 + (H === 1 ? 0 : (3 * h) / (H - 1)) });
    const norm = param.tensor('norm', [H, N], { constant: 1 });
    const skip = param.tensor('skip', [W], { constant: 1 });
    const down = param.projection('down', D, W, { normal: 2 / param.layer.count / Math.sqrt(D) });

    return (x, context) => {
      const [B, T] = x.shape as [number, number, number];
      const [inner, z] = splitLast(linear({ x, weight: up, bias: null }), [W, W]) as [typeof x, typeof x];
      const c = context.causalConv1d(inner, conv, { bias: convBias, activation: 'silu' });
      const [q, k, v] = [query(c), key(c), value(inner)];
      const all = concatLast([q, k, v].map((part) => reshape(part, [B, T, W])));
      const inputs = {
        q: reshape(q, [B, T, H, N]),
        k: reshape(k, [B, T, H, N]),
        v: reshape(v, [B, T, H, N]),
        i: wide(linear({ x: all, weight: wi, bias: iBias })), // [B, T, H], log input gate, of any sign
        // [B, T, H], log forget gate, <= 0
        f: activation('log-sigmoid', linear({ x: all, weight: wf, bias: fBias }), 1, { wide: true }),
      };
      let gate = z;
      let skipped = c;
      const h = context.recurrence(op, inputs, () => {
        gate = activation('silu', z);
        skipped = mulAlong({ a: c, b: skip }, -1, c.dtype);
      });
      const normed = reshape(layerNorm({ x: h, weight: norm, bias: null }, normEps), [B, T, W]);
      return linear({ x: mul({ a: add({ a: normed, b: skipped }), b: gate }), weight: down, bias: null });
    };
  },
});
