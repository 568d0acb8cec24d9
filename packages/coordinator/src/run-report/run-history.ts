import { join } from 'node:path';
import { isStepRow, type MetricsRow, type StepRow, type ValidationRow } from '@longscan/worker/protocol';
import type { JournalEvent } from '../run-folder/events.js';
import { readJsonl } from '../run-folder/read-jsonl.js';
import { runFiles } from '../run-folder/run-folder.js';

/** Everything a run's files tell of its course, in the order of its steps. */
export interface RunHistory {
  /** One row a step: that of the highest attempt. */
  readonly steps: readonly StepRow[];
  readonly validations: readonly ValidationRow[];
  readonly events: readonly JournalEvent[];
}

export async function readHistory(runDir: string): Promise<RunHistory> {
  const steps = new Map<number, StepRow>();
  const validations = new Map<number, ValidationRow>();
  for await (const value of readJsonl(join(runDir, runFiles.metrics))) {
    const row = value as MetricsRow;
    if (isStepRow(row)) keepNewest(steps, row);
    else keepNewest(validations, row);
  }
  const events: JournalEvent[] = [];
  for await (const event of readJsonl(join(runDir, runFiles.events))) events.push(event as JournalEvent);
  return { steps: byStep(steps), validations: byStep(validations), events };
}

/** After a resume or a rollback a step may have several rows. */
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
