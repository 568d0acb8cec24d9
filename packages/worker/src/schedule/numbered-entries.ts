import type { ScheduleEntry } from './schedule.js';

/** The scope of what belongs to no part of a step. */
export const wholeStep = 0;

/** Entries, whose events are numbered as the recorder did. */
export interface Piece {
  readonly entries: readonly ScheduleEntry[];
  /** Which events they mean: the same entries, recorded once, stand in several scopes. */
  readonly scope: number;
}

/**
 * The entries of a step, with events numbered from 0. `before`: what the step before it recorded in `wholeStep`, record by
 * record, whose events may still be waited for.
 */
export function numberedEntries(pieces: readonly Piece[], before: readonly ScheduleEntry[]): ScheduleEntry[] {
  const scopes = new Map<number, Map<number, number>>([[wholeStep, new Map()]]);
  const whole = scopes.get(wholeStep)!;
  let numEvents = 0;
  for (const { entries, scope } of pieces) {
    const numbers = scopes.get(scope) ?? new Map<number, number>();
    scopes.set(scope, numbers);
    for (const entry of entries) if (entry.kind === 'record') numbers.set(entry.event, numEvents++);
  }
  const numbersNow = [...whole.values()];
  const earlier = new Map(eventsOf(before).map((event, i) => [event, numbersNow[i]!]));
  const numbered: ScheduleEntry[] = [];
  for (const { entries, scope } of pieces) {
    const numbers = scopes.get(scope)!;
    for (const entry of entries) {
      if (entry.kind !== 'record' && entry.kind !== 'wait') {
        numbered.push(entry);
        continue;
      }
      const event = numbers.get(entry.event) ?? whole.get(entry.event) ?? earlier.get(entry.event);
      if (event === undefined) throw new RangeError(`a step waits for event ${entry.event} of no known step`);
      numbered.push({ ...entry, event });
    }
  }
  return numbered;
}

function eventsOf(entries: readonly ScheduleEntry[]): number[] {
  return entries.flatMap((entry) => (entry.kind === 'record' ? [entry.event] : []));
}
