import type { Strategy } from '../strategy.js';
import { type Check, type CheckResult, runChecks } from './check.js';
import { asynchronyChecks } from './strategy/asynchrony.js';
import { costChecks } from './strategy/cost.js';
import { exactnessChecks } from './strategy/exactness.js';
import { failureChecks } from './strategy/failures.js';
import { foldChecks } from './strategy/folds.js';
import { ScanDefinitions } from './strategy/scan.js';
import { unitChecks } from './strategy/units.js';

/** One, powers of two, and what is neither. */
const worldSizes = [1, 2, 3, 4, 7, 8];

/** What every SP strategy must do, whatever its idea. @param definitions Shared with the checks of other strategies. */
export function strategyChecks(strategy: Strategy, definitions = new ScanDefinitions()): Check[] {
  return [
    ...worldSizes.flatMap((numRanks) => exactnessChecks(strategy, numRanks, { definitions })),
    ...exactnessChecks(strategy, 3, { engine: 'tcp', definitions }),
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
