import { randomNormal } from '@longscan/kernels/testing';
import { maskedRefusal } from '../../model/objectives.js';
import type { Strategy } from '../../strategy.js';
import { type Check, demand } from '../check.js';
import { bothSidesDocumentChecks } from './documents.js';
import { checkGradients } from './gradients.js';
import { createProblem } from './problem.js';
import { expectSame, rememberedRuns, type WholeRun } from './ranks.js';
import { checkDefinition } from './recurrent-form.js';
import { runAlone, runLayer } from './run-layer.js';
import { isFixed, transitionsOf } from './transitions.js';
import type { Variant } from './variant.js';

/** Documents of one token, at the edges of tiles, and on more than one rank. */
const starts = [
  [5, 6, 16],
  [0, 30],
];
const evenCuts = [[20, 20], [11, 11, 11], new Array<number>(4).fill(1)];
const unevenCuts = [
  [17, 1, 30],
  [5, 16, 1, 14],
];
/** Further away than a short convolution reaches. */
const distance = 5;

/** What a layer must do under the masked objective, where recurrences run in both directions, unless it is refused there. */
export function bidirectionalChecks(variant: Variant, strategies: readonly Strategy[]): Check[] {
  if (maskedRefusal(variant.layer, variant.config, variant.dModel) !== null) return [];
  const checks: Check[] = [
    ...[undefined, starts].flatMap((packed) => {
      const where = packed ? ', documents packed' : '';
      const problem = (T: number) => createProblem(variant, { T, starts: packed, bidirectional: true });
      return [
        { name: `every recurrence = its definition${where}`, run: () => checkDefinition(problem(70)) },
        { name: `gradients = central differences${where}`, run: () => checkGradients(problem(37)) },
      ];
    }),
  ];
  // What looks back a few tokens looks ahead no further.
  if (transitionsOf(variant).size > 0 || variant.layer.transition === 'softmax') {
    checks.push({ name: 'a token reads on both sides of itself', run: () => checkBothSides(variant) });
  }
  // Options change recurrences, not what carries their states.
  if (variant.label === 'defaults') checks.push(...onRanks(variant, strategies));
  return checks.map(({ name, run }) => ({ name: `both directions ~> ${name}`, run }));
}

function onRanks(variant: Variant, strategies: readonly Strategy[]): Check[] {
  const wholeRun = rememberedRuns();
  return [
    ...strategies.map((strategy) => ({
      name: `1 rank = 2, 3, 4 ranks under ${strategy.name}`,
      run: () => checkRanks(variant, strategy, wholeRun),
    })),
    ...bothSidesDocumentChecks(variant, strategies.find(({ name }) => name === 'ring') ?? strategies[0]!),
  ];
}

async function checkBothSides(variant: Variant): Promise<void> {
  const D = variant.dModel;
  const problem = createProblem(variant, { B: 1, T: 37, bidirectional: true });
  const { output: before } = await runAlone(problem);
  for (const t of [8, 20]) {
    const x = problem.x.slice();
    x.set(randomNormal(D, 100 + t, 3), t * D);
    const { output: after } = await runAlone({ ...problem, x });
    for (const reader of [t - distance, t, t + distance]) {
      const isSame = after
        .subarray(reader * D, (reader + 1) * D)
        .every((value, i) => value === before[reader * D + i]);
      demand(!isSame, `changing token ${t} does not change the output of token ${reader}`);
    }
  }
}

async function checkRanks(variant: Variant, strategy: Strategy, wholeRun: WholeRun): Promise<void> {
  const cuts = isFixed(transitionsOf(variant)) ? evenCuts : [...evenCuts, ...unevenCuts];
  for (const lengths of cuts) {
    const T = lengths.reduce((sum, length) => sum + length, 0);
    const packed = starts.map((row) => row.filter((t) => t < T));
    for (const where of [undefined, packed]) {
      const problem = createProblem(variant, { T, starts: where, bidirectional: true });
      const expected = await wholeRun(problem, `${T}, ${where !== undefined}`);
      const found = await runLayer(problem, { lengths, strategy });
      expectSame(`slices of ${lengths}${where ? ', packed' : ''}`, found, expected);
    }
  }
}
