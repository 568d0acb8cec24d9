import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LongscanError, type StepRow } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type LaunchOptions, launch, launchBy } from './launch.js';
import type { Run } from './run.js';
import { requireSpace } from './run-folder/run-folder.js';
import { readStatus } from './run-folder/status.js';
import { readHistory } from './run-report/run-history.js';
import { runTask } from './run-task.js';
import { StandingRanks } from './testing/standing-ranks.js';

/** Real ranks, a model that is as small as they come. */

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'longscan-launch-test-')));
const prevFolder = process.cwd();
test.before(() => {
  process.chdir(folder);
  writeFileSync('text.txt', 'the sea, the sea, and the whale in the sea. '.repeat(200));
});
test.after(() => {
  process.chdir(prevFolder);
  rmSync(folder, { recursive: true, force: true });
});

const job = {
  job: { name: 'tiny', steps: 6, logEvery: 1 },
  model: { dModel: 16, numLayers: 2, numHeads: 2, chunk: 16, mlp: 0, layers: ['gla', 'lightning'] },
  data: { path: 'text.txt', sequenceLength: 128, validateEvery: 0 },
  parallel: { sp: 2, strategy: 'all-scan' },
  optimizer: { warmupSteps: 1, schedule: 'constant' },
  checkpoint: { every: 3 },
};

const standing = new StandingRanks();

/** A launch of a test whose subject is the run's folder: what starts its ranks is that of all such tests. */
function launchStanding(given: typeof job, options: LaunchOptions = {}): Promise<Run> {
  return launchBy(standing.launcherOf, given, options);
}

async function losses(run: Run): Promise<(number | null)[]> {
  const rows: StepRow[] = [];
  for await (const row of run.steps()) rows.push(row);
  return rows.map(({ loss }) => loss);
}

/** The error that a launch, or the run it makes, ends with. */
async function failure(options: LaunchOptions, changed: object = job): Promise<LongscanError> {
  try {
    const run = await launchStanding(changed as typeof job, options);
    await run.done;
  } catch (error) {
    assert.instance(error, LongscanError);
    return error as LongscanError;
  }
  return assert.unreachable('it succeeded') as never;
}

test('a launched job trains; its folder says all about it', async () => {
  const run = await launch(job);
  assert.match(run.dir, /\/runs\/tiny-\d{4}-\d\d-\d\d-\d{6}$/);
  const { step, validationLoss, checkpoint } = await run.done;
  assert.is(step, 6);
  assert.ok(validationLoss !== null && validationLoss > 0);
  assert.ok(existsSync(join(checkpoint!, 'COMMITTED')));
  assert.is((await losses(run)).length, 6);
  for (const name of ['job.resolved.toml', 'plan.json', 'coordinator.json', 'logs/rank-1.log']) {
    assert.ok(existsSync(join(run.dir, name)), name);
    assert.ok(existsSync(join('runs/latest', name)), name);
  }
  assert.is((await readStatus(run.dir)).state, 'done');
});

test('six steps are three steps, a resumption and three steps, bit for bit', async () => {
  const whole = await launch(job);
  const first = await launch(job, { overrides: { 'job.steps': 3 } });
  await first.done;
  const second = await launch(job, { resume: first.dir });
  assert.is(second.dir, first.dir);
  assert.equal([...(await losses(first)), ...(await losses(second))], await losses(whole));
  const rows = readFileSync(join(first.dir, 'metrics.jsonl'), 'utf8').trim().split('\n');
  assert.equal(
    rows
      .map((row) => JSON.parse(row) as StepRow)
      .flatMap(({ loss, attempt }) => (loss === undefined ? [] : [attempt])),
    [1, 1, 1, 2, 2, 2],
  );
});

test('auto resumes the newest unfinished run of the job, also on other ranks; else it starts afresh and says so', async () => {
  const unfinished = await launchStanding(job, { overrides: { 'job.seed': 7, 'job.steps': 3 } });
  await unfinished.done;
  const resumed = await launchStanding(job, {
    overrides: { 'job.seed': 7, 'parallel.sp': 1 },
    resume: 'auto',
  });
  assert.is(resumed.dir, unfinished.dir);
  assert.is((await losses(resumed)).length, 3);
  const fresh = await launchStanding(job, { overrides: { 'job.seed': 7 }, resume: 'auto' });
  assert.is.not(fresh.dir, unfinished.dir);
  const incidents: string[] = [];
  for await (const event of fresh.events()) if (event.event === 'incident') incidents.push(event.code);
  assert.equal(incidents, ['I-RESUME']);
});

test("--run-dir beside a run or a checkpoint to resume ~> refused unless it is that run's folder", async () => {
  const run = await launchStanding(job, { overrides: { 'job.steps': 3 } });
  const { checkpoint } = await run.done;
  for (const resume of [run.dir, checkpoint!, 'latest']) {
    for (const runDir of ['elsewhere', folder]) {
      const error = await failure({ resume, runDir });
      assert.equal([error.code, error.exitCode], ['E-CLI-USAGE', 2]);
      assert.ok(
        error.message.includes(`--run-dir ${runDir}`) && error.message.includes(run.dir),
        error.message,
      );
    }
  }
  assert.is(existsSync('elsewhere'), false);
  assert.is((await readStatus(run.dir)).attempt, 1);
  const resumed = await launchStanding(job, { resume: checkpoint!, runDir: 'runs/latest' });
  assert.is((await resumed.done).step, 6);
});

test('runs/latest in a path to resume ~> the run it points to, and it still points there', async () => {
  for (const options of [
    { resume: 'runs/latest/checkpoints/step-000003' },
    { resume: 'auto', runDir: 'runs/latest' },
  ]) {
    const run = await launchStanding(job, { overrides: { 'job.steps': 3 } });
    await run.done;
    const resumed = await launchStanding(job, options);
    assert.is((await resumed.done).step, 6);
    assert.is(resumed.dir, run.dir);
    assert.is(realpathSync('runs/latest'), run.dir);
  }
});

test('a job that has reached its last step is left alone', async () => {
  const run = await launchStanding(job);
  const result = await run.done;
  const again = await launchStanding(job, { resume: run.dir });
  assert.equal(await again.done, result);
  assert.equal(await losses(again), []);
});

test('a resumption that differs is refused with every difference', async () => {
  const run = await launchStanding(job, { overrides: { 'job.steps': 3 } });
  await run.done;
  const overrides = { 'optimizer.lr': 0.5, 'data.batchSize': 2, 'checkpoint.keep': 2 };
  const error = await failure({ resume: run.dir, overrides });
  assert.is(error.code, 'E-RESUME-DRIFT');
  assert.is(error.exitCode, 2);
  assert.match(error.message, /data\.batchSize was 1 and is 2; optimizer\.lr was 0\.001 and is 0\.5,/);
});

test('nothing to resume from', async () => {
  const missing = await failure({ resume: 'nowhere' });
  assert.equal([missing.code, missing.exitCode], ['E-CKPT-NONE', 4]);
  const run = await launchStanding(job, { overrides: { 'job.steps': 1 } });
  await run.done;
  rmSync(join(run.dir, 'checkpoints'), { recursive: true });
  const empty = await failure({ resume: run.dir });
  assert.equal([empty.code, empty.exitCode], ['E-CKPT-NONE', 4]);
  assert.match(empty.message, /no checkpoint, where it had .*step-000001, .* Fix: put that back/);
});

test('a run that was ended before its first checkpoint ~> begins anew in its folder, and says so', async () => {
  const whole = await launchStanding(job);
  const never = { 'checkpoint.every': 0, 'job.steps': 1e6 };
  for (const resumeOf of [
    (runDir: string) => ({ resume: 'auto', runDir }),
    (runDir: string) => ({ resume: runDir }),
  ]) {
    const killed = await launch(job, { overrides: never });
    for await (const { step } of killed.steps()) if (step === 2) break;
    await killed.kill();
    const again = await launchStanding(job, resumeOf(killed.dir));
    assert.is(again.dir, killed.dir);
    assert.equal(await losses(again), await losses(whole));
    const incidents: string[] = [];
    for await (const event of again.events()) if (event.event === 'incident') incidents.push(event.message);
    assert.equal(incidents, ['the run has not saved a checkpoint yet: starting from the beginning']);
    assert.equal(
      (await readHistory(again.dir)).steps.map(({ attempt }) => attempt),
      Array(6).fill(2),
    );
    assert.is((await readStatus(again.dir)).step, 6);
  }
});

test('a run that was ended in its first save ~> begins anew too, and names what is left of that', async () => {
  const run = await launchStanding(job, { overrides: { 'job.steps': 3 } });
  await run.done;
  const events = readFileSync(join(run.dir, 'events.jsonl'), 'utf8').split('\n');
  writeFileSync(
    join(run.dir, 'events.jsonl'),
    events.filter((row) => !row.includes('step-000003')).join('\n'),
  );
  rmSync(join(run.dir, 'checkpoints/step-000003/COMMITTED'));
  const again = await launchStanding(job, { resume: run.dir });
  assert.is((await again.done).step, 6);
  const codes: string[] = [];
  for await (const event of again.events()) if (event.event === 'incident') codes.push(event.code);
  assert.equal(codes, ['I-RESUME', 'W-CKPT-PARTIAL']);
});

test('a run without a checkpoint and another job ~> refused with the difference', async () => {
  const killed = await launch(job, { overrides: { 'checkpoint.every': 0, 'job.steps': 1e6 } });
  await killed.kill();
  const error = await failure({ resume: 'auto', runDir: killed.dir, overrides: { 'optimizer.lr': 0.5 } });
  assert.is(error.code, 'E-RESUME-DRIFT');
  assert.match(error.message, /optimizer\.lr was 0\.001 and is 0\.5,/);
});

test('a folder that holds a run is not written over, one that cannot be written is said so', async () => {
  const run = await launchStanding(job, { overrides: { 'job.steps': 1 }, runDir: 'mine' });
  assert.is(run.dir, join(folder, 'mine'));
  assert.is((await failure({ runDir: 'mine' })).code, 'E-LOCK');
  await run.done;
  const used = await failure({ runDir: 'mine' });
  assert.match(
    used.message,
    /error\[E-LOCK\] .*mine: the folder holds an earlier run, expected .* Fix: add --resume/,
  );
  writeFileSync('file', '');
  const blocked = await failure({ runDir: 'file/run' });
  assert.equal([blocked.code, blocked.exitCode], ['E-DISK', 3]);
  assert.throws(
    () => requireSpace(folder, 2 ** 50),
    /E-DISK.* bytes free, expected at least 1125899906842624/,
  );
});

test('a run under way is not resumed, whether or not it has a checkpoint yet', async () => {
  const run = await launch(job, { overrides: { 'job.steps': 1e6, 'checkpoint.every': 0 }, runDir: 'live' });
  const ended = run.done.catch((error: LongscanError) => error.code);
  try {
    for (const options of [{ resume: run.dir }, { resume: 'auto', runDir: 'live' }]) {
      const error = await failure(options);
      assert.equal([error.code, error.exitCode], ['E-LOCK', 3]);
    }
  } finally {
    await run.kill();
  }
  assert.is(await ended, 'E-RUN-KILLED');
});

test('a folder of checkpoints alone is not taken for a new one, nor is a way out named that is none', async () => {
  const run = await launchStanding(job, { overrides: { 'job.steps': 1 } });
  await run.done;
  const saved = join('archive', 'checkpoints', 'step-000001');
  cpSync(join(run.dir, 'checkpoints', 'step-000001'), saved, { recursive: true });
  for (const resume of [undefined, 'auto']) {
    const { message } = await failure({ runDir: 'archive', resume });
    assert.match(
      message,
      /E-LOCK.*archive: the folder holds checkpoints of another run, expected a new .* Fix: move what it holds away, or/,
    );
  }
  assert.equal(readdirSync('archive'), ['checkpoints']);
  rmSync(join(run.dir, 'checkpoints'), { recursive: true });
  const bare = await failure({ runDir: run.dir });
  assert.match(
    bare.message,
    /holds an earlier run, without a checkpoint, .* Fix: move what it holds away, or/,
  );
});

test('a job that is wrong starts nothing', async () => {
  const error = await failure({ runDir: 'never' }, { ...job, optimizer: { lr: -1, momentum: 2 } });
  assert.is(error.exitCode, 2);
  assert.match(error.message, /optimizer\.lr/);
  assert.match(error.message, /optimizer\.momentum/);
  assert.is(existsSync('never'), false);
});

test('an abort of the signal saves and stops; one that came before starts nothing', async () => {
  const controller = new AbortController();
  const run = await launch(job, {
    overrides: { 'job.steps': 1e6, 'checkpoint.every': 0 },
    signal: controller.signal,
  });
  for await (const { step } of run.steps()) if (step === 2) controller.abort();
  const { step, checkpoint } = await run.done;
  assert.ok(step >= 2 && step < 1e6);
  assert.is(checkpoint, join(run.dir, 'checkpoints', `step-${String(step).padStart(6, '0')}`));
  const late = await failure({ signal: AbortSignal.abort(), runDir: 'never' });
  assert.is(late.code, 'E-RUN-KILLED');
  assert.is(existsSync('never'), false);
});

test("a layer file of the user's is bundled, hashed, and its change refused unless allowed", async () => {
  mkdirSync('layers', { recursive: true });
  const source = (note: string): string => `
    import { defineLayer } from '@longscan/worker';
    const note: string = '${note}';
    export default defineLayer({
      name: 'passing',
      paper: 'https://arxiv.org/abs/2312.06635',
      config: {},
      create: () => (x: unknown) => (note === '' ? x : x) as never,
    });
  `;
  writeFileSync('layers/passing.ts', source('one'));
  const own = { ...job, model: { ...job.model, layers: [join(folder, 'layers/passing.ts'), 'gla'] } };
  const run = await launch(own, { overrides: { 'job.steps': 3 } });
  const { checkpoint } = await run.done;
  writeFileSync('layers/passing.ts', source('two'));
  const error = await failure({ resume: run.dir }, own);
  assert.is(error.code, 'E-RESUME-DRIFT');
  assert.match(error.message, /the code of .*passing\.ts has changed.*--allow-code-change/);
  const resumed = await launch(own, { resume: run.dir, allowCodeChange: true });
  assert.is((await resumed.done).step, 6);
  // The code that was trained is in the run folder, whatever has become of the file.
  rmSync('layers/passing.ts');
  const task = {
    kind: 'generate',
    prompt: 'the ',
    numTokens: 3,
    temperature: 0,
    seed: 0,
    device: 'cpu',
  } as const;
  const { text } = await runTask({ ...task, checkpoint: checkpoint! });
  assert.type(text, 'string');
});

test('a layer file that does not parse is refused with its place', async () => {
  writeFileSync('broken.ts', 'export default {\n  name: = 1,\n};\n');
  const error = await failure({}, { ...job, model: { ...job.model, layers: [join(folder, 'broken.ts')] } });
  assert.match(error.message, /error\[E-PLUGIN\] .*broken\.ts:2:9: /);
  assert.is(error.exitCode, 2);
});

test('a task that fails says why', async () => {
  const task = {
    kind: 'generate',
    checkpoint: join(folder, 'none'),
    prompt: '',
    numTokens: 1,
    temperature: 0,
    seed: 0,
    device: 'cpu',
  } as const;
  const message = await runTask(task).then(
    () => 'it succeeded',
    (error: Error) => error.message,
  );
  assert.match(message, /error\[E-CKPT-/);
});

test.run();
