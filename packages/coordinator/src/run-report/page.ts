import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plan } from '@longscan/worker/protocol';
import { formatPlan } from '../plan/index.js';
import { htmlCharts, htmlDetails, htmlList, htmlPage, htmlTable, type Section } from '../plots/html-page.js';
import type { JournalEvent } from '../run-folder/events.js';
import { runFiles } from '../run-folder/run-folder.js';
import type { RunStatus } from '../run-folder/status.js';
import type { RunHistory } from './run-history.js';

/** What the page of a run is made of. */
export interface RunPage {
  readonly status: RunStatus;
  readonly plan: Plan;
  readonly history: RunHistory;
  /** Its charts, drawn. */
  readonly svgs: readonly string[];
  /** Where the merged trace lies and what is missing from it; what else is worth telling. */
  readonly notes: readonly string[];
}

export function runPage({ status, plan, history, svgs, notes }: RunPage): string {
  const { steps, events } = history;
  const numNotFinite = steps.filter(({ finite }) => !finite).length;
  const facts = Object.entries({
    state: status.state,
    step: `${status.step} of ${status.steps}`,
    loss: status.loss?.toFixed(4),
    'validation loss': status.validationLoss?.toFixed(4),
    'steps that were not finite': numNotFinite === 0 ? undefined : String(numNotFinite),
    ranks: `${plan.mesh.sp} x ${plan.mesh.dp} (sp x dp)`,
    host: status.host ?? undefined,
    launches: String(status.attempt),
    started: status.startedAt ?? undefined,
    ended: status.endedAt ?? undefined,
    checkpoint: status.checkpoint ?? undefined,
    folder: status.runDir,
    error: status.error?.message,
  }).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));
  const told = events.flatMap(eventRow);
  const sections: Section[] = [
    { title: 'Run', body: htmlTable([], facts) },
    { title: 'Course', body: svgs.length === 0 ? '<p>No step has been done.</p>' : htmlCharts(svgs) },
    { title: 'Incidents and launches', body: htmlTable(['what', 'rank', 'details'], told, '<><') },
    ...(notes.length === 0 ? [] : [{ title: 'Notes', body: htmlList(notes) }]),
    {
      title: 'Plan and job',
      body: [
        htmlDetails('what the plan says', formatPlan(plan)),
        htmlDetails(
          'every value of the job',
          readFileSync(join(status.runDir, runFiles.resolvedJob), 'utf8'),
        ),
      ].join('\n'),
    },
  ];
  const lead = `${status.state} at step ${status.step} of ${status.steps}`;
  return htmlPage(`${status.name}: training run`, lead, sections);
}

/** Events that are worth a line. */
function eventRow(event: JournalEvent): string[][] {
  switch (event.event) {
    case 'launch':
      return [
        [
          'launch',
          '',
          `${event.numRanks} ranks by ${event.launcher}${event.resumeFrom === null ? '' : `, from ${event.resumeFrom}`}`,
        ],
      ];
    case 'rendezvous':
      return [['all ranks there', '', `on ${[...new Set(event.hosts)].join(', ')}`]];
    case 'incident':
      return [
        [`${event.severity} ${event.code}`, event.rank === null ? '' : String(event.rank), event.message],
      ];
    case 'stop':
      return [['stop', '', event.save ? 'asked for, with a checkpoint' : 'asked for']];
    case 'done':
      return [['done', '', event.finished ? `after step ${event.step}` : `stopped after step ${event.step}`]];
    case 'error':
      return [[`error ${event.code}`, event.rank === null ? '' : String(event.rank), event.message]];
    case 'run':
    case 'plan':
    case 'checkpoint':
      return [];
  }
}
