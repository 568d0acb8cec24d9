import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Run } from '../run.js';
import type { JournalEvent } from '../run-folder/events.js';
import { readStatus } from '../run-folder/status.js';
import { readHistory } from '../run-report/run-history.js';
import { StandingRanks } from '../testing/standing-ranks.js';
import { checkpointAt, failureOf, Workshop } from './small-job.js';

// A run that is taken up again at a checkpoint which is not its newest.

const test = suite<{ workshop: Workshop }>('going back');
const ranks = new StandingRanks();
test.before.each((context) => {
  context.workshop = new Workshop(ranks);
});
test.after.each(({ workshop }) => workshop.remove());

const checkpointsOf = (dir: string) => readdirSync(join(dir, 'checkpoints')).sort();
/** Six steps, a checkpoint after every second. */
const six = { 'job.steps': 6, 'checkpoint.every': 2, 'checkpoint.keep': 0 };
/** Learning rates that depend on the step alone, so that a run may have more or fewer of them. */
const constant = { 'optimizer.schedule': 'constant' };

async function incidentsOf(run: Run): Promise<{ code: string; message: string }[]> {
  const incidents = [];
  for await (const event of run.events()) if (event.event === 'incident') incidents.push(event);
  return incidents;
}

const rowsOf = async (dir: string) =>
  (await readHistory(dir)).steps.map(({ step, attempt }) => `${step} of launch ${attempt}`);

test('from an earlier checkpoint ~> later ones are set aside, told of, neither kept in place of new ones nor resumed from', async ({
  workshop,
}) => {
  const { run } = await workshop.train('run', { ...six, ...constant });
  assert.equal(checkpointsOf(run.dir), ['step-000002', 'step-000004', 'step-000006']);

  const shorter = { ...constant, 'job.steps': 5, 'checkpoint.every': 1, 'checkpoint.keep': 2 };
  const back = await workshop.train('run', shorter, { resume: checkpointAt(run.dir, 2) });
  assert.equal(checkpointsOf(run.dir), [
    ...['step-000004', 'step-000004.left', 'step-000005', 'step-000006.left'],
  ]);
  const [told, ...others] = await incidentsOf(back.run);
  assert.equal(others, []);
  assert.is(told!.code, 'I-CKPT-LEFT');
  assert.match(told!.message, /goes on from step 2: .*step-000004\.left, step-000006\.left/);
  assert.equal(await rowsOf(run.dir), [
    ...['1 of launch 1', '2 of launch 1', '3 of launch 2', '4 of launch 2', '5 of launch 2'],
  ]);

  // The newest is of the new course. It is on other ranks, and nothing of its own is set aside.
  const longer = { ...shorter, 'job.steps': 7, 'parallel.sp': 2 };
  const on = await workshop.train('run', longer, { resume: 'auto' });
  assert.equal(await incidentsOf(on.run), []);
  assert.equal(
    on.steps.slice(-2).map(({ step, attempt }) => [step, attempt]),
    [
      [6, 3],
      [7, 3],
    ],
  );
  assert.equal(checkpointsOf(run.dir), [
    ...['step-000004.left', 'step-000006', 'step-000006.left', 'step-000007'],
  ]);
});

test('back, and back again ~> each course keeps its checkpoints', async ({ workshop }) => {
  const { run } = await workshop.train('run', six);
  for (let launch = 2; launch <= 3; launch++) {
    const again = await workshop.train('run', six, { resume: checkpointAt(run.dir, 4) });
    assert.is(again.result.step, 6);
  }
  assert.equal(checkpointsOf(run.dir), [
    ...['step-000002', 'step-000004', 'step-000006', 'step-000006.left', 'step-000006.left-2'],
  ]);
});

test('a run that went back and has done no step since ~> stands at the checkpoint', async ({ workshop }) => {
  const validated = { ...six, 'data.validateEvery': 2 };
  const { run } = await workshop.train('run', validated);
  const { validations } = await readHistory(run.dir);
  const back = checkpointAt(run.dir, 2);
  // Killed before its ranks are there.
  const again = await workshop.launch('run', validated, { resume: back });
  await again.kill();
  await failureOf(again.done);
  const { step, checkpoint, validationLoss, attempt, state } = await readStatus(run.dir);
  assert.equal(
    { step, checkpoint, attempt, state },
    { step: 2, checkpoint: back, attempt: 2, state: 'failed' },
  );
  assert.is(validationLoss, validations[0]!.validationLoss);
  assert.equal(await rowsOf(run.dir), ['1 of launch 1', '2 of launch 1']);
  assert.is((await readHistory(run.dir)).validations.length, 1);
});

test('nothing is trained, or the launch is refused ~> nothing is set aside', async ({ workshop }) => {
  const { run } = await workshop.train('run', six);
  const before = checkpointsOf(run.dir);
  const resume = checkpointAt(run.dir, 4);
  const done = await workshop.train('run', { ...six, 'job.steps': 4 }, { resume });
  assert.equal(
    (await incidentsOf(done.run)).map(({ code }) => code),
    ['I-DONE'],
  );
  assert.equal(checkpointsOf(run.dir), before);
  const fewer = await workshop.train('run', { ...six, 'job.steps': 3 }, { resume });
  assert.match(
    (await incidentsOf(fewer.run))[0]!.message,
    'has done 4 steps, and job.steps = 3: nothing is launched',
  );

  const drifted = await failureOf(workshop.launch('run', { ...six, 'job.seed': 3 }, { resume }));
  assert.is(drifted.code, 'E-RESUME-DRIFT');
  assert.equal(checkpointsOf(run.dir), before);

  // The folder's lock is this launch's, whose ranks are being started; its own checkpoint is the last.
  const live = await workshop.launch('run', { ...six, 'job.steps': 8 }, { resume: 'auto' });
  const locked = await failureOf(workshop.launch('run', { ...six, 'job.steps': 8 }, { resume }));
  assert.is(locked.code, 'E-LOCK');
  await live.done;
  assert.equal(checkpointsOf(run.dir), [...before, 'step-000008']);
});

// A read-only mount in a namespace of its own, which ends with the process. Needs root, who may write where others may not.
const asReadOnly = [
  '--mount',
  'sh',
  '-c',
  'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"',
];
const canMount = spawnSync('unshare', [...asReadOnly, tmpdir(), 'true']).status === 0;
const testWhereMountsWork = canMount ? test : test.skip;
testWhereMountsWork(
  'a folder that cannot be written ~> E-DISK with the checkpoint, and the run as it was',
  async ({ workshop }) => {
    const { run } = await workshop.train('run', six);
    const before = checkpointsOf(run.dir);
    const bin = fileURLToPath(new URL('../../bin/longscan.js', import.meta.url));
    const resume = checkpointAt(run.dir, 2);
    const args = [process.execPath, bin, 'train', workshop.job, '--set', 'job.steps=6', `--resume=${resume}`];
    const { status, stderr } = spawnSync('unshare', [...asReadOnly, join(run.dir, 'checkpoints'), ...args], {
      encoding: 'utf8',
      timeout: 200_000,
    });
    assert.is(status, 3, stderr);
    assert.match(stderr, /error\[E-DISK\] \/.*\/checkpoints: a read-only file system \(EROFS\)/);
    assert.equal(checkpointsOf(run.dir), before);
    const again = await workshop.train('run', six, { resume });
    assert.is(again.result.step, 6);
  },
);

test('a newest checkpoint that is damaged ~> set aside too, not overwritten', async ({ workshop }) => {
  const { run } = await workshop.train('run', six);
  truncateSync(join(checkpointAt(run.dir, 6), 'parameters.safetensors'), 100);
  const on = await workshop.train('run', six, { resume: 'auto' });
  assert.equal(
    (await incidentsOf(on.run)).map(({ code }) => code),
    ['W-CKPT-PARTIAL', 'I-CKPT-LEFT'],
  );
  assert.equal(
    checkpointsOf(run.dir).filter((name) => name.startsWith('step-000006')),
    ['step-000006', 'step-000006.left'],
  );
});

test('a checkpoint that was set aside is named ~> it says how to take it up', async ({ workshop }) => {
  const { run } = await workshop.train('run', six);
  await workshop.train('run', six, { resume: checkpointAt(run.dir, 4) });
  const resume = `${checkpointAt(run.dir, 6)}.left`;
  const error = await failureOf(workshop.launch('run', six, { resume }));
  assert.equal([error.code, error.exitCode], ['E-CKPT-NONE', 4]);
  assert.match(error.message, /step-000006\.left: .*set aside.*Fix: .*name step-000006/);
});

test('a file that is in the way of a name is no other checkpoint', async ({ workshop }) => {
  const { run } = await workshop.train('run', six);
  writeFileSync(`${checkpointAt(run.dir, 6)}.left`, 'notes');
  await workshop.train('run', six, { resume: checkpointAt(run.dir, 4) });
  assert.is(readFileSync(`${checkpointAt(run.dir, 6)}.left`, 'utf8'), 'notes');
  assert.ok(checkpointsOf(run.dir).includes('step-000006.left-2'));
});

test('the events say from which step a launch went on', async ({ workshop }) => {
  const { run } = await workshop.train('run', six);
  await workshop.train('run', six, { resume: checkpointAt(run.dir, 4) });
  const launches = readFileSync(join(run.dir, 'events.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as JournalEvent)
    .flatMap((event) => (event.event === 'launch' ? [event] : []));
  assert.equal(
    launches.map(({ resumeFrom, resumeStep }) => [resumeFrom && basename(resumeFrom), resumeStep]),
    [
      [null, null],
      ['step-000004', 4],
    ],
  );
});

test.run();
