import type { Mutation } from './mutation.js';

const applyRows = 'packages/kernels/src/ops/transition/cpu.cc';
const composeHeads = 'packages/kernels/src/ops/transition/cpu_compose.cc';
const segment = 'packages/worker/src/state/segment.ts';
const segmentBuffer = 'packages/worker/src/state/segment-buffer.ts';
const chain = 'packages/worker/src/chain.ts';
const allGather = 'packages/worker/src/sp/all-gather.ts';
const doubling = 'packages/worker/src/sp/doubling-scan.ts';
const halo = 'packages/worker/src/sequence/halo.ts';
const bidirectional = 'packages/worker/src/sequence/bidirectional.ts';
const sumOverRanks = 'packages/worker/src/sequence/sum-over-ranks.ts';
const causalConv = 'packages/kernels/src/ops/causal-conv/cpu.cc';
const tokenShift = 'packages/kernels/src/ops/token-shift/binding.cc';

/**
 * The ways in which a combine goes wrong without any error (order swapped, M dropped, reset ignored), a halo (documents
 * run into each other, a short slice hides those before it), and runs in both directions.
 */
export const mutations: readonly Mutation[] = [
  {
    name: 'a scalar M is dropped',
    file: applyRows,
    find: 'task.out[at] = factor * task.S[at] + task.E[at];',
    replace: 'task.out[at] = task.S[at] + task.E[at];',
  },
  {
    name: 'a diagonal M is dropped',
    file: applyRows,
    find: 'out[i] = factor[i] * S[i] + E[i];',
    replace: 'out[i] = S[i] + E[i];',
  },
  {
    name: 'a dense M is applied as its transpose',
    file: applyRows,
    find: 'if (task.transposed) {',
    replace: 'if (!task.transposed) {',
  },
  {
    name: 'a dense M is composed in the wrong order',
    file: composeHeads,
    find: 'if (task.transposed)',
    replace: 'if (!task.transposed)',
  },
  {
    name: 'two scaled rows are added without their scales',
    file: applyRows,
    find: 'keep * S[i] + add * E[i]',
    replace: 'S[i] + E[i]',
  },
  {
    name: 'a reset is ignored',
    file: applyRows,
    find: 'if (task.reset != nullptr && ',
    replace: 'if (false && ',
  },
  {
    name: 'M is applied to E instead of the incoming state',
    file: segment,
    find: 'applyTransition(unit, from, out,',
    replace: 'applyTransition({ ...unit, state: from }, unit.state, out,',
  },
  {
    name: 'M does not travel with its segment',
    file: segment,
    find: '[travels ? factor : null, reset]',
    replace: '[null, reset]',
  },
  {
    name: 'the chain drops M',
    file: chain,
    find: 'applySegment(local, incoming!, outgoing, blocks[i]!, stream)',
    replace:
      "applySegment({ ...local, kind: 'identity', factor: null }, incoming!, outgoing, blocks[i]!, stream)",
  },
  {
    name: 'the chain ignores resets',
    file: chain,
    find: 'applySegment(local, incoming!, outgoing, blocks[i]!, stream)',
    replace: 'applySegment({ ...local, reset: null }, incoming!, outgoing, blocks[i]!, stream)',
  },
  {
    name: 'all-gather folds the segments before it in the wrong order',
    file: allGather,
    find: 'for (const segment of rest)',
    replace: 'for (const segment of rest.reverse())',
  },
  {
    name: 'a segment that travelled has lost its resets',
    file: segmentBuffer,
    find: 'reset: like.reset && take(like.reset),',
    replace: 'reset: null,',
  },
  {
    name: 'all-gather begins with the segment after the first',
    file: allGather,
    find: 'const [first, ...rest] = before;',
    replace: 'const [first, , ...rest] = before;',
  },
  {
    name: 'each unit is applied to what entered the first',
    file: segment,
    find: 'from = out;',
    replace: 'from = incoming;',
  },
  {
    name: 'a run with nothing before it loses its first unit',
    file: segment,
    find: 'stateAfter(withUnits(rest), first.state, stream)',
    replace: 'stateFromNothing(withUnits(rest), stream)',
  },
  {
    name: 'doubling-scan composes two runs in the wrong order',
    file: doubling,
    find: 'composeTransitions(before.segment, run.segment, stream)',
    replace: 'composeTransitions(run.segment, before.segment, stream)',
  },
  {
    name: 'a halo holds tokens of an earlier document',
    file: halo,
    find: 'halo: isRelay ? halo : null, resets }',
    replace: 'halo: isRelay ? halo : null, resets: null }',
  },
  {
    name: 'a slice shorter than the halo hands on its own tokens only',
    file: halo,
    find: 'halo: isRelay ? halo : null, resets }',
    replace: 'halo: null, resets }',
  },
  {
    name: 'the gradient of a halo ends at a slice that is shorter',
    file: halo,
    find: 'halo: isRelay ? target.halo : null',
    replace: 'halo: null',
  },
  {
    name: 'the gradient of tokens that the next rank has read is dropped',
    file: halo,
    find: 'if (tailGradient !== null) addTo(last, tailGradient);',
    replace: '',
  },
  {
    name: 'a convolution reads over the start of a document',
    file: causalConv,
    find: 'if (resets != nullptr && position >= 0 && ',
    replace: 'if (false && ',
  },
  {
    name: 'the gradient of a convolution flows over the start of a document',
    file: causalConv,
    find: 'if (resets != nullptr && next >= 0 && ',
    replace: 'if (false && ',
  },
  {
    name: 'a token shift reads over the start of a document',
    file: tokenShift,
    find: 'if (from.starts(sequence, token) || ',
    replace: 'if (',
  },
  {
    name: 'a run against time crosses ranks in the order of time',
    file: bidirectional,
    find: 'opposite(direction), options)',
    replace: 'opposite(opposite(direction)), options)',
  },
  {
    name: 'what a token reads of itself is counted in both directions',
    file: bidirectional,
    find: 'b: own });',
    replace: 'b: sub({ a: own, b: own }) });',
  },
  {
    name: 'a sum over ranks hands back the gradient of one rank',
    file: sumOverRanks,
    find: 'return [wait()];',
    replace: 'return [wait(), gradient!].slice(1);',
  },
];
