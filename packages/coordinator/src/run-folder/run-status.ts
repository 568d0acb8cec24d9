import { basename, join } from 'node:path';
import { isStepRow, type MetricsRow, type StepRow, type ValidationRow } from '@longscan/worker/protocol';
import { isLive, readRecord } from './coordinator-record.js';
import type { DoneEvent, ErrorEvent, JournalEvent } from './events.js';
import { readTail } from './log-tail.js';
import { runFiles } from './run-folder.js';

/** How a run stands. `lost`: its coordinator is gone and left no last word. */
export type RunState = 'running' | 'done' | 'stopped' | 'failed' | 'lost';

/** What `longscan status` says of a run, from its folder alone. */
export interface RunStatus {
  readonly run: string;
  readonly runDir: string;
  readonly state: RunState;
  /** Last step with metrics; null before the first. */
  readonly step: number | null;
  /** Steps of the whole job; null when the run never got as far as a plan. */
  readonly steps: number | null;
  readonly loss: number | null;
  readonly validationLoss: number | null;
  /** Absolute path of the last checkpoint that was reported. */
  readonly checkpoint: string | null;
  readonly host: string | null;
  readonly pid: number | null;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  /** Message of the error that ended the run. */
  readonly error: string | null;
}

/** Rows looked at from the end of each file; the last step, validation and checkpoint lie among them. */
const tailLines = 1000;

/** Reads a run's folder. Rows that a crash cut off are passed over. */
export async function readRunStatus(runDir: string): Promise<RunStatus> {
  const record = readRecord(runDir);
  const events = parseRows<JournalEvent>(await readTail(join(runDir, runFiles.events), tailLines));
  const metrics = parseRows<MetricsRow>(await readTail(join(runDir, runFiles.metrics), tailLines));
  const lastStep = metrics.findLast((row): row is StepRow => isStepRow(row));
  const lastValidation = metrics.findLast((row): row is ValidationRow => !isStepRow(row));
  const end = lastEnd(events);
  const checkpoint = events.findLast((event) => event.event === 'checkpoint');
  const plan = events.findLast((event) => event.event === 'plan');
  return {
    run: basename(runDir),
    runDir,
    state: record !== null && isLive(record) ? 'running' : endState(end),
    step: lastStep?.step ?? null,
    steps: plan?.event === 'plan' ? plan.steps : null,
    loss: lastStep?.loss ?? null,
    validationLoss: lastValidation?.validationLoss ?? null,
    checkpoint: checkpoint?.event === 'checkpoint' ? checkpoint.path : null,
    host: record?.host ?? null,
    pid: record?.pid ?? null,
    startedAt: record?.startedAt ?? null,
    endedAt: record?.endedAt ?? null,
    error: end?.event === 'error' ? end.message : null,
  };
}

/** The last word of the newest launch: a resumed run has older ones too. */
function lastEnd(events: readonly JournalEvent[]): DoneEvent | ErrorEvent | null {
  const launch = events.findLastIndex((event) => event.event === 'run');
  const end = events.slice(launch + 1).findLast(({ event }) => event === 'done' || event === 'error');
  return end?.event === 'done' || end?.event === 'error' ? end : null;
}

function endState(end: DoneEvent | ErrorEvent | null): RunState {
  if (end === null) return 'lost';
  if (end.event === 'error') return 'failed';
  return end.finished ? 'done' : 'stopped';
}

function parseRows<T>(lines: readonly string[]): T[] {
  return lines.flatMap((line) => {
    try {
      return [JSON.parse(line) as T];
    } catch {
      return [];
    }
  });
}
