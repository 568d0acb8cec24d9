import type { ScheduleEntry } from './schedule.js';

/** Each call of an op by itself, as it is recorded. */
export function singleCalls(entries: readonly ScheduleEntry[]): ScheduleEntry[] {
  return entries.flatMap((entry): ScheduleEntry[] => {
    if (entry.kind !== 'op') return [entry];
    const { times = 1, ...call } = entry;
    return Array.from({ length: times }, () => call);
  });
}
