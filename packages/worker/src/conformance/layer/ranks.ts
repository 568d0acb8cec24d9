import type { TransitionKind } from '@longscan/kernels';
import { expectClose, tolerances } from '@longscan/kernels/testing';
import type { Strategy } from '../../strategy.js';
import { supportsTransition } from '../../strategy-support.js';
import { type Check, demand } from '../check.js';
import { createProblem, type Problem } from './problem.js';
import { type LayerRun, runAlone, runLayer } from './run-layer.js';
import { isFixed, transitionsOf } from './transitions.js';
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

/** Cuts that a layer can be laid out in. */
function cutsFor(variant: Variant): (readonly number[])[] {
  const { layer, config } = variant;
  const multiple = layer.sliceMultiple?.(config) ?? 1;
  // Where M is known from the length, all slices must have the same one.
  const cuts = isFixed(transitionsOf(variant)) ? evenCuts : [...evenCuts, ...unevenCuts];
  if (multiple === 1) return cuts;
  const rounded = cuts.map((lengths) => lengths.map((length) => multiple * Math.ceil(length / multiple)));
  return [...new Map(rounded.map((lengths) => [lengths.join(), lengths])).values()];
}

/** A problem on one rank; of each key only the first is run. */
export type WholeRun = (problem: Problem, key: string) => Promise<LayerRun>;

/** What a lone rank computes is the same for every strategy. */
export function rememberedRuns(): WholeRun {
  const runs = new Map<string, Promise<LayerRun>>();
  return (problem, key) => {
    const run = runs.get(key) ?? runAlone(problem);
    runs.set(key, run);
    return run;
  };
}

/** However the sequence is cut over ranks, the output and every gradient are the same; or the strategy refuses. */
export function rankChecks(variant: Variant, strategies: readonly Strategy[]): Check[] {
  return [false, true].flatMap((isPacked) => {
    const wholeRun = rememberedRuns();
    return strategies.map((strategy) => {
      const packed = isPacked ? ', documents packed' : '';
      const refused = [...transitionsOf(variant)].find((kind) => !supportsTransition(strategy, kind));
      if (refused !== undefined) {
        return {
          name: `${strategy.name} refuses ${refused}, naming both${packed}`,
          run: () => expectRefusal(createProblem(variant, { T: 32 }), strategy, refused),
        };
      }
      return {
        name: `1 rank = 2, 3, 4 ranks under ${strategy.name}${packed}`,
        run: async () => {
          for (const lengths of cutsFor(variant)) {
            const problem = cutProblem(variant, lengths, isPacked);
            const expected = await wholeRun(problem, lengths.join());
            expectSame(`slices of ${lengths}`, await runLayer(problem, { lengths, strategy }), expected);
          }
        },
      };
    });
  });
}

function cutProblem(variant: Variant, lengths: readonly number[], isPacked: boolean): Problem {
  const T = lengths.reduce((sum, length) => sum + length, 0);
  const starts = isPacked ? [[0, Math.floor(T / 3), lengths[0]!], [T - 1]] : undefined;
  return createProblem(variant, { T, ...(starts && { starts }) });
}

async function expectRefusal(problem: Problem, strategy: Strategy, kind: TransitionKind): Promise<void> {
  const message = await runLayer(problem, { lengths: [16, 16], strategy }).then(
    () => 'it ran',
    (error: Error) => error.message,
  );
  const isNamed = [`error[E-STRATEGY]`, strategy.name, kind].every((part) => message.includes(part));
  demand(isNamed, `expected a refusal that names ${strategy.name} and ${kind}; ${message}`);
}

export function expectSame(where: string, found: LayerRun, expected: LayerRun): void {
  expectClose(`${where}: output`, found.output, expected.output, tolerances.f64);
  expectClose(`${where}: gradient of x`, found.inputGradient, expected.inputGradient, tolerances.f64);
  for (const [name, gradient] of expected.parameterGradients) {
    const sum = found.parameterGradients.get(name)!;
    expectClose(`${where}: gradient of ${name}, summed over ranks`, sum, gradient, tolerances.f64);
  }
}
