import { LongscanError, type TransitionKind } from '@longscan/kernels';
import type { Strategy } from './strategy.js';

/** Whether a strategy can run recurrences of this kind. */
export function supportsTransition(strategy: Pick<Strategy, 'serial'>, kind: TransitionKind): boolean {
  return kind !== 'opaque' || strategy.serial !== undefined;
}

/** What is said where a recurrence meets a strategy that cannot run it. */
export function refuseTransition(strategy: string, kind: TransitionKind, recurrence: string): LongscanError {
  return new LongscanError({
    code: 'E-STRATEGY',
    where: `recurrence ${recurrence} under ${strategy}`,
    found: `transition ${kind}`,
    expected: 'one whose effect on a state is an affine map',
    fix: 'set parallel.strategy = "ring", the only strategy that runs slices one after the other',
    exitCode: 2,
  });
}

/** What is said where deterministic mode meets a strategy that composes segments. */
export function refuseUnits(strategy: string): LongscanError {
  return new LongscanError({
    code: 'E-STRATEGY',
    where: `deterministic mode under ${strategy}`,
    found: 'a strategy that composes what ranks do to a state, in an order that depends on their number',
    expected: 'one that folds it unit by unit',
    fix: 'set parallel.strategy = "ring", "all-scan" or "all-gather"',
    exitCode: 2,
  });
}
