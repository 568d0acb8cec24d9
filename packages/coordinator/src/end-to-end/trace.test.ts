import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exposedMsOf, readTraceFile } from '@longscan/worker/testing/trace';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mergeTraces } from '../run-folder/merge-traces.js';
import { Workshop } from './small-job.js';

const workshop = new Workshop();
test.after(() => workshop.remove());

test('a traced run ~> a file a rank, merged into one that agrees with metrics.jsonl', async () => {
  const ranks = [0, 1, 2, 3];
  const mesh = { 'parallel.sp': 2, 'parallel.dp': 2, 'data.batchSize': 2 };
  const { run, steps } = await workshop.train('traced', { ...mesh, 'job.steps': 5, 'job.trace': '2-3' });
  for (const rank of ranks) readTraceFile(join(run.dir, 'traces', `rank-${rank}.json`));
  const merged = (await mergeTraces(run.dir))!;
  assert.equal(merged, { path: join(run.dir, 'trace.json'), ranks, notes: [] });
  const trace = readTraceFile(merged.path);
  assert.equal(trace.dropped, []);
  assert.equal([...new Set(trace.spans.map(({ step }) => step))].sort(), [2, 3]);
  for (const { step, spExposedMs, perRank } of steps) {
    assert.ok(spExposedMs !== null);
    if (step !== 2 && step !== 3) continue;
    const sums = ranks.map((rank) => exposedMsOf(trace, rank, step));
    sums.forEach((sum, rank) => {
      const reported = perRank[rank]!.spExposedMs!;
      // The file has nanoseconds.
      assert.ok(Math.abs(sum - reported) < 1e-4, `rank ${rank}, step ${step}: ${sum} and ${reported}`);
    });
    assert.is(spExposedMs, Math.max(...perRank.map((rank) => rank!.spExposedMs!)));
  }
  // Ranks of one sequence exchange states under the same numbers, which stand for the same collective.
  const numbersOf = (rank: number) =>
    trace.spans
      .filter(({ rank: of, cat, thread }) => of === rank && cat === 'collective' && thread === 'world')
      .map(({ name }) => name);
  assert.ok(numbersOf(0).length > 0);
  for (const rank of ranks) assert.equal(numbersOf(rank), numbersOf(0));
  // All ranks of a host are on one clock: a sum over them ends on none before it has begun on all.
  const sums = trace.spans.filter(({ name }) => name === numbersOf(0)[0]);
  assert.is(sums.length, ranks.length);
  assert.ok(Math.min(...sums.map(({ endUs }) => endUs)) >= Math.max(...sums.map(({ beginUs }) => beginUs)));
});

test('a run of one rank without a trace ~> no file, and nothing is exposed', async () => {
  const { run, steps } = await workshop.train('plain', { 'job.steps': 2 });
  assert.not(existsSync(join(run.dir, 'traces')));
  assert.is(await mergeTraces(run.dir), null);
  assert.equal(
    steps.map(({ spExposedMs }) => spExposedMs),
    [0, 0],
  );
});

test("a rank's file that was cut off ~> the rest is merged, and a note says so", async () => {
  const { run } = await workshop.train('cut', { 'parallel.sp': 2, 'job.steps': 2, 'job.trace': '2' });
  const path = join(run.dir, 'traces', 'rank-1.json');
  const text = readFileSync(path, 'utf8');
  // Within a line: a whole one might happen to end at half of the text.
  writeFileSync(path, text.slice(0, text.indexOf('\n', text.length / 2) + 10));
  const { notes } = (await mergeTraces(run.dir))!;
  assert.is(notes.length, 1);
  assert.match(notes[0]!, /rank 1: .* is not an event .*rank-1\.json, line \d+/);
});

test.run();
