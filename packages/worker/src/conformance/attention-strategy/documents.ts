import type { AttentionStrategy } from '../../attention-strategy.js';
import { type Check, demand } from '../check.js';
import { type AttentionCase, describe, runCase, sizes, totalOf } from './attention-case.js';

/** Of the first sequence: a document that begins in one slice, fills others and ends in a further one. */
const middle = { start: 6, length: 11 };
const starts = [[2, middle.start, middle.start + middle.length], [9]];

const cases: readonly AttentionCase[] = [
  { lengths: [5, 5, 5, 5], starts },
  { lengths: [4, 7, 2, 8], starts },
  { lengths: [5, 5, 5, 5], starts, options: { window: 9 } },
  { lengths: [4, 4, 8, 6], starts, options: { chunk: 4 } },
];

/** A document of NaN changes no other, to the bit. */
export function documentChecks(strategy: AttentionStrategy): Check[] {
  return cases.map((problem) => ({
    name: `a document of NaN changes no other, to the bit: ${describe(problem)}`,
    run: () => checkIsolation(strategy, problem),
  }));
}

async function checkIsolation(strategy: AttentionStrategy, problem: AttentionCase): Promise<void> {
  const [before, after] = [
    await runCase(problem, strategy),
    await runCase({ ...problem, poisoned: middle }, strategy),
  ];
  for (const name of ['o', 'q', 'k', 'v'] as const) {
    const [found, expected] = [after.values[name], before.values[name]];
    const rowSize = found.length / (sizes.B * totalOf(problem));
    const wrong = expected.findIndex((value, i) => {
      const token = Math.floor(i / rowSize);
      const isInside = token >= middle.start && token < middle.start + middle.length;
      return !isInside && !Object.is(found[i], value);
    });
    const where = `${describe(problem)}: ${name}, element ${wrong}`;
    demand(wrong < 0, `${where} is ${found[wrong]}, without NaN ${expected[wrong]}`);
    demand(found.some(Number.isNaN), `${where}: the poisoned document has no NaN`);
  }
}
