import { expectClose, tolerances } from '@longscan/kernels/testing';
import type { Strategy } from '../../strategy.js';
import type { Check } from '../check.js';
import { createProblem } from './problem.js';
import { type LayerRun, runAlone, runLayer } from './run-layer.js';
import { transitionsOf } from './transitions.js';
import type { Variant } from './variant.js';

/** Slices of one length on 2, 3 and 4 ranks: a single token, whole tiles, no tiles, more than a chunk of 64. */
const evenCuts = [2, 3, 4].flatMap((numRanks) =>
  [1, 16, 21, 70].map((length) => new Array<number>(numRanks).fill(length)),
);
const unevenCuts = [
  [1, 40],
  [17, 1, 46],
  [5, 16, 1, 30],
];

/** Cuts that a layer can be laid out in: where M is known from the length, all slices must have the same one. */
function cutsFor(variant: Variant): number[][] {
  return transitionsOf(variant).has('fixed-scalar') ? evenCuts : [...evenCuts, ...unevenCuts];
}

/** However the sequence is cut over ranks, the output and every gradient are the same. */
export function rankChecks(variant: Variant, strategy: Strategy): Check[] {
  return [false, true].map((isPacked) => ({
    name: `1 rank = 2, 3, 4 ranks under ${strategy.name}${isPacked ? ', documents packed' : ''}`,
    run: async () => {
      for (const lengths of cutsFor(variant)) await checkCut(variant, strategy, lengths, isPacked);
    },
  }));
}

async function checkCut(
  variant: Variant,
  strategy: Strategy,
  lengths: readonly number[],
  isPacked: boolean,
): Promise<void> {
  const T = lengths.reduce((sum, length) => sum + length, 0);
  const starts = isPacked ? [[0, Math.floor(T / 3), lengths[0]!], [T - 1]] : undefined;
  const problem = createProblem(variant, { T, ...(starts && { starts }) });
  const expected = await runAlone(problem);
  expectSame(`slices of ${lengths}`, await runLayer(problem, { lengths, strategy }), expected);
}

function expectSame(where: string, found: LayerRun, expected: LayerRun): void {
  expectClose(`${where}: output`, found.output, expected.output, tolerances.f64);
  expectClose(`${where}: gradient of x`, found.inputGradient, expected.inputGradient, tolerances.f64);
  for (const [name, gradient] of expected.parameterGradients) {
    const sum = found.parameterGradients.get(name)!;
    expectClose(`${where}: gradient of ${name}, summed over ranks`, sum, gradient, tolerances.f64);
  }
}
