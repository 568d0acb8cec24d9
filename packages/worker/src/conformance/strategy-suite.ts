import type { Strategy } from '../strategy.js';
import { type Check, type CheckResult, runChecks } from './check.js';
import { asynchronyChecks } from './strategy/asynchrony.js';
import { costChecks } from './strategy/cost.js';
import { exactnessChecks } from './strategy/exactness.js';
import { failureChecks } from './strategy/failures.js';
import { foldChecks } from './strategy/folds.js';
import { unitChecks } from './strategy/units.js';

/** One, powers of two, and what is neither. */
const worldSizes = [1, 2, 3, 4, 7, 8];

/** What every SP strategy must do, whatever its idea. */
export function strategyChecks(strategy: Strategy): Check[] {
  return [
    ...worldSizes.flatMap((numRanks) => exactnessChecks(strategy, numRanks)),
    ...exactnessChecks(strategy, 3, { engine: 'tcp' }),
    ...asynchronyChecks(strategy),
    ...failureChecks(strategy),
    ...costChecks(strategy),
    ...unitChecks(strategy),
    ...foldChecks(strategy),
  ];
}

export function checkStrategy(strategy: Strategy): Promise<CheckResult[]> {
  return runChecks(strategyChecks(strategy));
}
