import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readLogs } from '../run-folder/status.js';
import { runTask } from '../run-task.js';
import { listUnits } from '../units.js';
import { failureOf, Workshop } from './small-job.js';

const workshop = new Workshop();
test.after(() => workshop.remove());

for (const strategy of listUnits('sp')) {
  test(`a killed rank, ${strategy} ~> the job ends naming it, and no process is left`, async () => {
    const { error, pids } = await workshop.killRank(`killed-${strategy}`, 1, {
      'parallel.sp': 4,
      'parallel.ranksPerNode': 2,
      'parallel.strategy': strategy,
    });
    assert.is(error.exitCode, 8);
    assert.is(error.rank, 1);
    assert.match(error.message, /rank 1 .*SIGKILL/);
    // Not even one that nobody has waited for.
    const left = pids.filter((pid) => existsSync(`/proc/${pid}`));
    assert.equal(left, []);
  });
}

test('a loss that is not finite ~> E-DIVERGED, the same on every rank, exit code 5', async () => {
  const run = await workshop.launch('diverged', {
    'parallel.sp': 2,
    'optimizer.lr': 1e30,
    'optimizer.warmupSteps': 0,
    'optimizer.clipNorm': 0,
  });
  const error = await failureOf(run.done);
  assert.is(error.code, 'E-DIVERGED');
  assert.is(error.exitCode, 5);
  // A run that goes on keeps its optimizer: E-RESUME-DRIFT.
  assert.match(error.hint!, 'start a new run with a lower optimizer.lr');
});

test('a checkpoint that cannot be written ~> E-DISK, and the rank tells no stack of what says itself what is wrong', async () => {
  const run = await workshop.launch('no-place', { 'job.steps': 100_000, 'checkpoint.every': 1 });
  const checkpoints = join(run.dir, 'checkpoints');
  for await (const { step } of run.steps()) if (step === 2) break;
  putFileFor(checkpoints);
  const error = await failureOf(run.done);
  assert.equal([error.code, error.exitCode], ['E-DISK', 3]);
  assert.match(error.message, `${checkpoints}: the checkpoint could not be written (`);
  const log = await readLogs(run.dir, 0, 100);
  assert.match(log.at(-1)!, 'error[E-DISK]');
  assert.equal(
    log.filter((line) => /^\s+at /.test(line)),
    [],
  );
});

/** In place of a folder in which a rank is making others. */
function putFileFor(folder: string): void {
  for (let made = false; !made; ) {
    try {
      rmSync(folder, { recursive: true, force: true });
      writeFileSync(folder, '', { flag: 'wx' });
      made = true;
    } catch (error) {
      if (!['EEXIST', 'ENOTEMPTY', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? ''))
        throw error;
    }
  }
}

test('generate ~> the text of a checkpoint, the same for the same seed', async () => {
  const { result } = await workshop.train('generates', { 'parallel.sp': 2, 'job.steps': 30 });
  const generate = (seed: number) =>
    runTask({
      kind: 'generate',
      checkpoint: result.checkpoint!,
      prompt: 'the whale ',
      numTokens: 40,
      temperature: 0.8,
      seed,
      device: 'cpu',
    });
  const [first, again, other] = [await generate(1), await generate(1), await generate(2)];
  assert.is(typeof first.text, 'string');
  assert.is(again.text, first.text);
  assert.is.not(other.text, first.text);
});

test.run();
