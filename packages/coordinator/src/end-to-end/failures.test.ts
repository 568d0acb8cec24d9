import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LongscanError } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Run } from '../run.js';
import { runTask } from '../run-task.js';
import { listUnits } from '../units.js';
import { Workshop } from './small-job.js';

const workshop = new Workshop();
test.after(() => workshop.remove());

/** The error that a run ends with. */
async function failureOf(run: Run): Promise<LongscanError> {
  try {
    await run.done;
  } catch (error) {
    if (error instanceof LongscanError) return error;
    throw error;
  }
  throw new Error('the run ended well');
}

/** Process id of a rank, from the first line of its log. */
function pidOf(runDir: string, rank: number): number {
  const log = readFileSync(join(runDir, 'logs', `rank-${rank}.log`), 'utf8');
  return Number(/process (\d+)/.exec(log)![1]);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

for (const strategy of listUnits('sp')) {
  test(`a killed rank, ${strategy} ~> the job ends naming it, and no process is left`, async () => {
    const run = await workshop.launch(`killed-${strategy}`, {
      'parallel.sp': 4,
      'parallel.ranksPerNode': 2,
      'parallel.strategy': strategy,
      'job.steps': 100_000,
    });
    for await (const { step } of run.steps()) if (step === 3) break;
    const pids = [0, 1, 2, 3].map((rank) => pidOf(run.dir, rank));
    process.kill(pids[1]!, 'SIGKILL');
    const error = await failureOf(run);
    assert.is(error.exitCode, 8);
    assert.is(error.rank, 1);
    assert.match(error.message, /rank 1 .*SIGKILL/);
    assert.equal(pids.filter(isAlive), []);
  });
}

test('a loss that is not finite ~> E-DIVERGED, the same on every rank, exit code 5', async () => {
  const run = await workshop.launch('diverged', {
    'parallel.sp': 2,
    'optimizer.lr': 1e30,
    'optimizer.warmupSteps': 0,
    'optimizer.clipNorm': 0,
  });
  const error = await failureOf(run);
  assert.is(error.code, 'E-DIVERGED');
  assert.is(error.exitCode, 5);
});

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
