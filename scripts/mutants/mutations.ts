import type { Mutation } from './mutation.js';

const applyRows = 'packages/kernels/src/ops/transition/cpu.cc';

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
];
