import { join } from 'node:path';
import { isMetricsRow, isStepRow, type StepRow, type ValidationRow } from '@longscan/worker/protocol';
import { Courses } from '../run-folder/courses.js';
import type { JournalEvent } from '../run-folder/events.js';
import { readJsonl } from '../run-folder/read-jsonl.js';
import { runFiles } from '../run-folder/run-folder.js';

/** Everything a run's files tell of its course, in the order of its steps: rows of courses that it has left are not in it. */
export interface RunHistory {
  /** One row a step. */
  readonly steps: readonly StepRow[];
  readonly validations: readonly ValidationRow[];
  readonly events: readonly JournalEvent[];
}

export async function readHistory(runDir: string): Promise<RunHistory> {
  const events: JournalEvent[] = [];
  const courses = new Courses();
  for await (const value of readJsonl(join(runDir, runFiles.events))) {
    const event = value as JournalEvent;
    events.push(event);
    courses.add(event);
  }
  const steps = new Map<number, StepRow>();
  const validations = new Map<number, ValidationRow>();
  for await (const value of readJsonl(join(runDir, runFiles.metrics))) {
    if (!isMetricsRow(value) || !courses.counts(value)) continue;
    if (isStepRow(value)) keepNewest(steps, value);
    else keepNewest(validations, value);
  }
  return { steps: byStep(steps), validations: byStep(validations), events };
}

/** A step may have several rows where a launch was resumed by a version that did not note from where. */
function keepNewest<T extends { readonly step: number; readonly attempt: number }>(
  rows: Map<number, T>,
  row: T,
): void {
  const known = rows.get(row.step);
  if (known === undefined || known.attempt <= row.attempt) rows.set(row.step, row);
}

function byStep<T>(rows: ReadonlyMap<number, T>): T[] {
  return [...rows].sort(([a], [b]) => a - b).map(([, row]) => row);
}
