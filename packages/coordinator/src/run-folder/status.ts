import { join } from 'node:path';
import { isMetricsRow, isStepRow, type StepRow, type ValidationRow } from '@longscan/worker/protocol';
import { isLive, readRecord } from './coordinator-record.js';
import type { Courses } from './courses.js';
import type { DoneEvent, ErrorEvent, JournalEvent } from './events.js';
import { readPlan } from './find-run.js';
import { JournalSummary } from './journal-summary.js';
import { parseRow } from './jsonl-file.js';
import { readTail } from './log-tail.js';
import { readJsonl } from './read-jsonl.js';
import { runFiles } from './run-folder.js';

/** A run as its folder shows it, from whatever process one looks. */
export interface RunStatus {
  readonly runDir: string;
  /** `died`: its coordinator is gone and left no last word; the run can be resumed. */
  readonly state: 'running' | 'done' | 'stopped' | 'failed' | 'died';
  readonly name: string;
  /** Number of launches so far, resumes included. */
  readonly attempt: number;
  readonly steps: number;
  readonly step: number;
  readonly loss: number | null;
  readonly validationLoss: number | null;
  readonly tokensPerSecond: number | null;
  readonly checkpoint: string | null;
  readonly numRanks: number;
  readonly host: string | null;
  readonly pid: number | null;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** @throws LongscanError E-RUN-PLAN (exit code 4) for a folder whose plan cannot be read. */
export async function readStatus(runDir: string): Promise<RunStatus> {
  const plan = readPlan(runDir);
  const record = readRecord(runDir);
  const { end, checkpoint, attempt, courses } = await readJournal(runDir);
  const { step, validation } = await lastRows(runDir, courses);
  const isRunning = record !== null && isLive(record);
  return {
    runDir,
    state: isRunning ? 'running' : endState(end),
    name: plan.jobSpec.job.name,
    attempt,
    steps: plan.jobSpec.job.steps,
    step: step?.step ?? courses.start,
    loss: step?.loss ?? null,
    validationLoss: validation?.validationLoss ?? null,
    tokensPerSecond: step?.tokensPerSecond ?? null,
    checkpoint,
    numRanks: plan.mesh.numRanks,
    host: record?.host ?? null,
    pid: record?.pid ?? null,
    startedAt: record?.startedAt ?? null,
    endedAt: record?.endedAt ?? null,
    error: isRunning || end?.event !== 'error' ? null : { code: end.code, message: end.message },
  };
}

/** Last lines of a rank's log, oldest first. */
export function readLogs(runDir: string, rank: number, maxLines: number): Promise<string[]> {
  return readTail(join(runDir, runFiles.logs, `rank-${rank}.log`), maxLines);
}

function endState(end: DoneEvent | ErrorEvent | null): RunStatus['state'] {
  if (end === null) return 'died';
  if (end.event === 'error') return 'failed';
  return end.finished ? 'done' : 'stopped';
}

/** The newest step and the newest validation of the run's course, as far as the end of the file shows them. */
async function lastRows(
  runDir: string,
  courses: Courses,
): Promise<{ step: StepRow | null; validation: ValidationRow | null }> {
  let step: StepRow | null = null;
  let validation: ValidationRow | null = null;
  for (const line of await readTail(join(runDir, runFiles.metrics), Number.POSITIVE_INFINITY)) {
    const row = parseRow(line);
    if (!isMetricsRow(row) || !courses.counts(row)) continue;
    if (isStepRow(row)) step = row;
    else validation = row;
  }
  return { step, validation };
}

async function readJournal(runDir: string): Promise<JournalSummary> {
  const journal = new JournalSummary();
  for await (const event of readJsonl(join(runDir, runFiles.events))) journal.add(event as JournalEvent);
  return journal;
}
