import {
  LongscanError,
  linear,
  mulAlong,
  repeatHeads,
  reshape,
  route,
  sumHeads,
  type Tensor,
  where,
  wide,
} from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { headOutput } from '../layer-parts/head-output.js';
import { headSize } from '../layer-parts/head-size.js';
import { expectCount, expectPositive } from '../layer-parts/layer-options.js';
import { type MemoryKindName, memoryKind, memoryKinds } from '../layer-parts/memory-kinds.js';
import { convolvedHeads } from '../layer-parts/short-conv.js';

/**
 * Mixture of Memories: a router sends each token to the `topK` of M memories that its softmax weighs most, and a shared
 * memory takes every token (sections 3.1 and 3.2). A memory is any linear recurrence with keys, values and gates of its
 * own; the queries are the same for all. The output is the sum of what the token's memories answer, times their weights
 * (those of the chosen ones sum to 1; the shared memory's is 1), then a norm per head and a Swish output gate.
 *
 * B batch, T tokens at hand, D model, N memories with the shared one, H heads of each, K = expandK·D/H, V = expandV·D/H.
 *
 * The memories are N·H heads of one recurrence. A token that does not go to a memory leaves it as it is: its key and its log
 * decay are 0 there, by selection. So nothing is sorted, no count is read back, and the order of tokens is that of the
 * sequence on every rank; the price is that each memory's recurrence runs over all tokens, N / (topK + 1) times the work
 * of the tokens that it gets. The short convolutions see the tokens of the sequence before they are routed; the reference
 * implementation convolves the tokens of each memory. The load-balancing loss is not the layer's, there neither.
 */
export default defineLayer({
  name: 'mom',
  paper: 'https://arxiv.org/abs/2502.13685',
  transition: 'dense',
  config: {
    numHeads: 4,
    expandK: 0.5,
    expandV: 1,
    memory: 'gated-deltanet',
    numMemories: 4,
    topK: 2,
    sharedMemory: true,
    convSize: 4,
    normEps: 1e-5,
  },
  choices: { memory: memoryKinds },
  create(config, param) {
    const { numHeads: H, numMemories: M, topK, convSize, normEps } = config;
    expectCount('mom', { numMemories: M, topK, convSize });
    expectPositive('mom', { normEps });
    if (topK > M) throw tooMany(topK, M);
    const K = headSize('mom', 'expandK', config.expandK, param.dModel, H);
    const V = headSize('mom', 'expandV', config.expandV, param.dModel, H);
    const numShared = config.sharedMemory ? 1 : 0;
    const N = M + numShared;
    const router = param.projection('router', M, param.dModel);
    const query = convolvedHeads(param, 'q', [H], K, convSize);
    const key = convolvedHeads(param, 'k', [N * H], K, convSize, { copies: N });
    const value = convolvedHeads(param, 'v', [N * H], V, convSize, { copies: N });
    const { op, normalize, gates } = memoryKind(config.memory as MemoryKindName, param, { N, H, K });
    const wg = param.projection('g', H * V, param.dModel);
    const output = headOutput(param, {
      numHeads: H,
      size: V,
      normEps,
      gate: (x) => linear({ x, weight: wg, bias: null }),
    });

    return (x, context) => {
      const [B, T] = x.shape as [number, number, number];
      const { weights, selected } = route(wide(linear({ x, weight: router, bias: null })), topK, numShared);
      /** y [B, T, N·H, ..] where the token goes, 0 in other memories. */
      const only = (y: Tensor): Tensor => {
        const perMemory = reshape(y, [B, T, N, -1]);
        return reshape(where({ condition: selected, a: perMemory, b: null }), y.shape);
      };
      const queries = repeatHeads(reshape(normalize(query(x, context)), [B, T, 1, H * K]), N);
      const inputs = {
        // An answer is linear in its query, so the query carries the memory's weight.
        q: reshape(mulAlong({ a: queries, b: weights }, 0, queries.dtype), [B, T, N * H, K]),
        k: only(normalize(key(x, context))),
        v: value(x, context),
        ...gates(x, only),
      };
      return output(x, (meanwhile) => {
        const answers = context.recurrence(op, inputs, meanwhile); // [B, T, N·H, V]
        return reshape(sumHeads(reshape(answers, [B, T, N, H * V]), N), [B, T, H, V]);
      });
    };
  },
});

function tooMany(topK: number, numMemories: number): LongscanError {
  return new LongscanError({
    code: 'E-CFG-RANGE',
    where: 'layer mom, topK',
    found: `${topK}`,
    expected: `at most numMemories = ${numMemories}`,
    exitCode: 2,
    fix: 'lower topK, or raise numMemories',
  });
}
