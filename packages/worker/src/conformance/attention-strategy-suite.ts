import type { AttentionStrategy } from '../attention-strategy.js';
import { costChecks } from './attention-strategy/cost.js';
import { documentChecks } from './attention-strategy/documents.js';
import { enqueuingChecks } from './attention-strategy/enqueuing.js';
import { exactnessChecks } from './attention-strategy/exactness.js';
import { failureChecks } from './attention-strategy/failures.js';
import { refusalChecks } from './attention-strategy/refusals.js';
import type { Check } from './check.js';

/** What every strategy for softmax layers must do, whatever its idea. */
export function attentionStrategyChecks(strategy: AttentionStrategy): Check[] {
  return [
    ...exactnessChecks(strategy),
    ...documentChecks(strategy),
    ...enqueuingChecks(strategy),
    ...failureChecks(strategy),
    ...refusalChecks(strategy),
    ...costChecks(strategy),
  ];
}
