import { join } from 'node:path';
import { LongscanError } from '@longscan/worker/protocol';
import { lineChart } from '../plots/line-chart.js';
import { readPlan } from '../run-folder/find-run.js';
import { mergeTraces } from '../run-folder/merge-traces.js';
import { writeRunFile } from '../run-folder/run-folder.js';
import { readStatus } from '../run-folder/status.js';
import { runCharts } from './charts.js';
import { runPage } from './page.js';
import { readHistory } from './run-history.js';

export interface RunReport {
  /** Absolute path of the page. */
  readonly path: string;
  /** Absolute path of the ranks' traces in one; null: the run was not traced, or none can be read. */
  readonly trace: string | null;
  readonly notes: readonly string[];
}

/**
 * Writes a run's `report.html`, of one under way too, and merges its traces. Traces that cannot be read are noted: the rest of
 * a run is worth its report without them.
 *
 * @throws LongscanError E-RUN-PLAN (exit code 4), E-DISK (exit code 3)
 */
export async function reportRun(runDir: string): Promise<RunReport> {
  const plan = readPlan(runDir);
  const [status, history, trace] = await Promise.all([
    readStatus(runDir),
    readHistory(runDir),
    mergeTraces(runDir).catch(asNote),
  ]);
  const notes = [
    ...(trace?.path
      ? [`the traces of ranks ${trace.ranks.join(', ')} are in ${trace.path}: open it in Perfetto`]
      : []),
    ...(trace?.notes ?? []),
  ];
  const svgs = await Promise.all(runCharts(history).map(lineChart));
  writeRunFile(runDir, reportFile, runPage({ status, plan, history, svgs, notes }));
  return { path: join(runDir, reportFile), trace: trace?.path ?? null, notes };
}

const reportFile = 'report.html';

interface TraceNotes {
  readonly path: null;
  readonly ranks: readonly [];
  readonly notes: readonly string[];
}

function asNote(error: unknown): TraceNotes {
  if (!(error instanceof LongscanError)) throw error;
  return { path: null, ranks: [], notes: [error.message] };
}
