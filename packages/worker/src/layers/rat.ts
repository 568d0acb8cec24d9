import {
  activation,
  addAlong,
  concatLast,
  linear,
  mul,
  reshape,
  restarting,
  rotary,
  scale,
  splitLast,
  type Tensor,
  vectorScan,
} from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { expectPairs, headSize } from '../layer-parts/head-size.js';
import { expectCount, expectPositive } from '../layer-parts/layer-options.js';

/**
 * RAT: inside a chunk of `chunk` tokens a gated recurrence over keys and values, (k̃_t, ṽ_t) = f_t ∘ (k̃_{t-1}, ṽ_{t-1}) +
 * (1 - f_t) ∘ (k_t, v_t), which restarts at every chunk; then softmax attention of q_t over the (k̃, ṽ) at the end of each
 * earlier chunk and over its own (section 3.1), with rotary positions that count chunks. Chunks count from the start of
 * the document.
 *
 * B batch, T tokens at hand, D model, H heads, K = D/H. q and k are shared by `numGroups` groups: head h reads group
 * h mod numGroups. The projections are one, as in the reference implementation: output gate, v, f, q, k.
 */
export default defineLayer({
  name: 'rat',
  paper: 'https://arxiv.org/abs/2507.04416',
  transition: 'scalar',
  sliceMultiple: ({ chunk }) => chunk,
  config: { numHeads: 4, numGroups: 2, chunk: 16, ropeTheta: 10000 },
  create(config, param) {
    const { numHeads: H, numGroups: G, chunk, ropeTheta } = config;
    expectCount('rat', { chunk, numGroups: G });
    expectCount('rat', { 'numHeads / numGroups': H / G });
    expectPositive('rat', { ropeTheta });
    const D = param.dModel;
    const K = headSize('rat', 'D', 1, D, H);
    expectPairs('rat', 'numHeads', K);
    const sizes = [D, D, D, G * K, G * K];
    const weight = param.projection('in', 3 * D + 2 * G * K, D);
    // Half-lives are spread over a chunk: σ(log u) = u / (1 + u), u between 1 and chunk - 1.
    const bias = param.tensor('gate.bias', [D], {
      each: (_, uniform) => Math.log(1 + Math.max(0, chunk - 2) * uniform()),
    });
    const wo = param.projection('o', D, D);
    const op = restarting(vectorScan, chunk);

    return (x, context) => {
      const [B, T] = x.shape as [number, number, number];
      const positions = context.positions(x);
      const [outputGate, v, f, q, k] = splitLast(linear({ x, weight, bias: null }), sizes);
      const perHead = (shared: Tensor) => concatLast(new Array<Tensor>(H / G).fill(shared));
      const heads = (rows: Tensor) => reshape(rows, [B, T, H, K]);
      const turned = (rows: Tensor) => rotary(heads(rows), positions, { theta: ropeTheta, step: chunk });

      const logits = addAlong({ a: f!, b: bias }, -1);
      const decay = activation('log-sigmoid', logits);
      const rest = activation('sigmoid', scale(logits, -1)); // 1 - f, exact where f is close to 1
      const g = concatLast([decay, decay]);
      const written = [perHead(k!), v!].map((rows) => mul({ a: rest, b: rows }, rows.dtype));
      const input = concatLast(written);
      const state = context.recurrence(op, { x: input, g, positions });
      const [keys, values] = splitLast(state, [D, D]);

      const inputs = { q: turned(perHead(q!)), k: turned(keys!), v: heads(values!) };
      const o = reshape(context.attention(inputs, { chunk }), [B, T, D]);
      return linear({ x: mul({ a: activation('sigmoid', outputGate!), b: o }), weight: wo, bias: null });
    };
  },
});
