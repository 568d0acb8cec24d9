import type { Mutation } from './mutation.js';

const applyRows = 'packages/kernels/src/ops/transition/cpu.cc';
const segment = 'packages/worker/src/state/segment.ts';
const chain = 'packages/worker/src/chain.ts';
const allGather = 'packages/worker/src/sp/all-gather.ts';

/** The ways in which a combine goes wrong without any error: order swapped, M dropped, reset ignored. */
export const mutations: readonly Mutation[] = [
  {
    name: 'a scalar M is dropped',
    file: applyRows,
    find: 'out[i] = factor * S[i] + E[i];',
    replace: 'out[i] = S[i] + E[i];',
  },
  {
    name: 'a diagonal M is dropped',
    file: applyRows,
    find: 'out[i] = factor[i] * S[i] + E[i];',
    replace: 'out[i] = S[i] + E[i];',
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
    find: 'applyTransition(segment, segment.state, incoming, out,',
    replace: 'applyTransition(segment, incoming, segment.state, out,',
  },
  {
    name: 'M does not travel with its segment',
    file: segment,
    find: '[known ? null : factor, reset]',
    replace: '[null, reset]',
  },
  {
    name: 'the chain drops M',
    file: chain,
    find: 'applySegment(local, incoming, outgoing, rows, stream)',
    replace: "applySegment({ ...local, kind: 'identity', factor: null }, incoming, outgoing, rows, stream)",
  },
  {
    name: 'the chain ignores resets',
    file: chain,
    find: 'applySegment(local, incoming, outgoing, rows, stream)',
    replace: 'applySegment({ ...local, reset: null }, incoming, outgoing, rows, stream)',
  },
  {
    name: 'all-gather folds the segments before it in the wrong order',
    file: allGather,
    find: 'applySegment(segmentOf(first + step * i), incoming,',
    replace: 'applySegment(segmentOf(first + step * (position - i)), incoming,',
  },
  {
    name: 'all-gather ignores resets',
    file: allGather,
    find: 'reset: local.reset && take(local.reset),',
    replace: 'reset: null,',
  },
  {
    name: 'all-gather begins with the segment after the first',
    file: allGather,
    find: 'for (let i = 1; i < position; i++)',
    replace: 'for (let i = 2; i < position; i++)',
  },
];
