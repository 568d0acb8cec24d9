import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MetricsRow, StepRow, ValidationRow } from '@longscan/worker/protocol';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { planJob } from '../plan/index.js';
import type { JournalEvent } from '../run-folder/events.js';
import { runFiles } from '../run-folder/run-folder.js';
import { readStatus } from '../run-folder/status.js';
import { formatResolvedJob, loadJob } from '../spec/index.js';
import { runCharts } from './charts.js';
import { reportRun } from './report-run.js';
import { readHistory } from './run-history.js';
import { maxPoints, thin } from './thin.js';

const step = (number: number, change: Partial<StepRow> = {}): StepRow => ({
  ...{ step: number, attempt: 1, loss: 3, gradNorm: 1, finite: true, lr: 1e-3, tokens: 512 },
  ...{
    tokensPerSecond: 1000,
    mfu: null,
    stepMs: 512,
    spExposedMs: 5.12,
    spBytesSent: 10,
    peakBytes: 2 ** 21,
  },
  ...{ perRank: [], extra: {} },
  ...change,
});

const validation = (number: number, validationLoss: number | null): ValidationRow => ({
  ...{ step: number, attempt: 1, validationLoss, finite: validationLoss !== null, bigramEntropy: 2.5 },
});

const events: JournalEvent[] = [
  { event: 'run', schema: 1, id: 'x', runDir: '/x', attempt: 1 },
  { event: 'launch', launcher: 'local', numRanks: 2, resumeFrom: null, resumeStep: null },
  { event: 'incident', severity: 'warning', code: 'W-SLOW', message: 'rank 1 is <slow>', rank: 1 },
  { event: 'done', step: 3, validationLoss: 2.9, checkpoint: null, finished: true },
];

const test = suite<{ runDir: string }>('report');
test.before.each(async (context) => {
  context.runDir = mkdtempSync(join(tmpdir(), 'longscan-report-'));
  const { jobSpec, originOf } = await loadJob(
    {
      job: { name: 'small', steps: 3 },
      model: { dModel: 16, numLayers: 1, numHeads: 2, chunk: 16, layers: ['linear-attention'] },
      data: { path: 'nowhere.txt', sequenceLength: 256 },
      parallel: { sp: 2 },
    },
    { readsText: false, env: {} },
  );
  writeFileSync(join(context.runDir, runFiles.plan), JSON.stringify(await planJob(jobSpec)));
  writeFileSync(join(context.runDir, runFiles.resolvedJob), formatResolvedJob(jobSpec, originOf));
  writeFileSync(join(context.runDir, runFiles.events), linesOf(events));
});
test.after.each(({ runDir }) => rmSync(runDir, { recursive: true, force: true }));

const linesOf = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

const writeMetrics = (runDir: string, rows: readonly MetricsRow[]) =>
  writeFileSync(join(runDir, runFiles.metrics), linesOf(rows));

test('a run ~> one page with its curves, incidents, plan and job, that fetches nothing', async ({
  runDir,
}) => {
  writeMetrics(runDir, [step(1), step(2, { loss: 2.8 }), validation(2, 2.9), step(3, { loss: 2.7 })]);
  const report = await reportRun(runDir);
  assert.equal(report, { path: join(runDir, 'report.html'), trace: null, notes: [] });
  const page = readFileSync(report.path, 'utf8');
  for (const title of ['Loss', 'Gradient norm', 'Throughput', 'Step time', 'Exposed communication', 'Memory'])
    assert.ok(page.includes(`aria-label="${title}"`), title);
  for (const text of [
    'loss (nats per token)',
    'throughput (tokens/s)',
    'rank 1 is &lt;slow&gt;',
    'dModel = 16',
    '2 x 1 (sp x dp)',
  ])
    assert.ok(page.includes(text), text);
  assert.not.match(page, /<script|<link|<img|src=|href="http/);
});

test('lines that are no rows ~> left out, as rows that were cut short are', async ({ runDir }) => {
  writeMetrics(runDir, [step(1), validation(1, 2.9)]);
  const foreign = ['{"step":2,"att', 'null', '[]', '7', '{}', '{"step":"x"}', '{"step":2,"attempt":1}'];
  appendFileSync(
    join(runDir, runFiles.metrics),
    `${foreign.join('\n')}\n{"step":2,"attempt":1,"loss":"low"}\n`,
  );
  const { steps, validations } = await readHistory(runDir);
  assert.equal([steps, validations], [[step(1)], [validation(1, 2.9)]]);
  assert.is((await reportRun(runDir)).path, join(runDir, 'report.html'));
  const { step: last, validationLoss } = await readStatus(runDir);
  assert.equal([last, validationLoss], [1, 2.9]);
});

test('a step of several attempts ~> the last one; what was not finite ~> left out and counted', async ({
  runDir,
}) => {
  writeMetrics(runDir, [
    step(1),
    step(2, { loss: 9 }),
    step(2, { loss: 2, attempt: 2 }),
    step(3, { loss: null, gradNorm: null, finite: false, attempt: 2 }),
    validation(3, null),
  ]);
  const [loss, norm] = runCharts(await readHistory(runDir));
  assert.equal(
    loss!.series.map(({ name, points }) => [name, points]),
    [
      [
        'training',
        [
          { x: 1, y: 3 },
          { x: 2, y: 2 },
        ],
      ],
      [
        'bigram entropy',
        [
          { x: 1, y: 2.5 },
          { x: 3, y: 2.5 },
        ],
      ],
    ],
  );
  assert.is(norm!.series[0]!.points.length, 2);
  await reportRun(runDir);
  assert.match(readFileSync(join(runDir, 'report.html'), 'utf8'), /not finite<\/td><td>1</);
});

test('a run before its first step ~> a page that says so', async ({ runDir }) => {
  const { path } = await reportRun(runDir);
  assert.match(readFileSync(path, 'utf8'), /No step has been done/);
});

test('traces that cannot be read ~> noted, and the rest is there', async ({ runDir }) => {
  writeMetrics(runDir, [step(1)]);
  mkdirSync(join(runDir, runFiles.traces));
  const { trace, notes, path } = await reportRun(runDir);
  assert.is(trace, null);
  assert.match(notes.join(), /E-TRACE/);
  assert.ok(existsSync(path));
});

test('many steps ~> at most so many points, each the median of its neighbours with their spread', () => {
  const many = Array.from({ length: 10 * maxPoints }, (_, x) => ({ x, y: x % 10 }));
  const thinned = thin(many);
  assert.is(thinned.length, maxPoints);
  assert.equal(thinned[0], { x: 5, y: 5, low: 0, high: 9 });
  const few = many.slice(0, maxPoints);
  assert.equal(thin(few), few);
});

test.run();
