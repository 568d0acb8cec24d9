import type { AttentionStrategy } from '../../attention-strategy.js';
import { type Check, demand } from '../check.js';
import { type AttentionCase, runCase } from './attention-case.js';

/** Heads that 4 ranks do not divide: those of keys, those of queries too, one. */
const heads = [
  { H: 4, G: 2 },
  { H: 6, G: 3 },
  { H: 1, G: 1 },
];

/** What it cannot divide a strategy refuses in the same words at any time; everything else it runs. */
export function refusalChecks(strategy: AttentionStrategy): Check[] {
  return heads.map(({ H, G }) => ({
    name: `${H} query heads and ${G} key heads on 4 ranks run, or are refused by name`,
    run: async () => {
      const problem: AttentionCase = { lengths: [3, 3, 3, 3], heads: { H, G } };
      const words = strategy.refusal?.({ numHeads: H, numKeyHeads: G }, 4) ?? null;
      const message = await runCase(problem, strategy).then(
        () => null,
        (error: Error) => error.message,
      );
      if (words === null) demand(message === null, `it failed: ${message}`);
      else {
        const isNamed = [`error[E-STRATEGY]`, strategy.name, words].every((part) => message?.includes(part));
        demand(
          isNamed,
          `expected a refusal that names ${strategy.name} and ${words}; ${message ?? 'it ran'}`,
        );
      }
    },
  }));
}
