import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LongscanError } from '@longscan/worker/protocol';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fakePlan } from '../testing/fake-job.js';
import { findResumeTarget, type ResumeTarget, refuseDrift } from './resume.js';
import { useRunFolder } from './run-folder.js';

// Runs without a checkpoint to go on from.

const { jobSpec, ...plan } = fakePlan({ numRanks: 2, steps: 10 });
const test = suite<{ runDir: string }>('resume without a checkpoint');
test.before.each((context) => {
  context.runDir = mkdtempSync(join(tmpdir(), 'longscan-resume-'));
  writeFileSync(join(context.runDir, 'plan.json'), JSON.stringify({ ...plan, jobSpec }));
});
test.after.each(({ runDir }) => rmSync(runDir, { recursive: true }));

/** By both ways to name a run. */
async function targetOf(runDir: string): Promise<ResumeTarget> {
  const named = await findResumeTarget({ resume: runDir, runDir: undefined, jobSpec });
  assert.equal(await findResumeTarget({ resume: 'auto', runDir, jobSpec }), named);
  return named!;
}

async function refusalOf(runDir: string): Promise<LongscanError> {
  try {
    await targetOf(runDir);
  } catch (error) {
    assert.instance(error, LongscanError);
    return error as LongscanError;
  }
  return assert.unreachable('there was something to resume') as never;
}

test('it has never saved one ~> begins anew', async ({ runDir }) => {
  assert.equal(await targetOf(runDir), { runDir, checkpoint: null, committed: [], skipped: [] });
});

test('its first save was cut off ~> begins anew, and says so', async ({ runDir }) => {
  mkdirSync(join(runDir, 'checkpoints/step-000003'), { recursive: true });
  const { checkpoint, skipped } = await targetOf(runDir);
  assert.is(checkpoint, null);
  assert.equal(
    skipped.map(({ code }) => code),
    ['E-CKPT-PARTIAL'],
  );
});

test('it has lost what it had saved ~> E-CKPT-NONE, which says what that was', async ({ runDir }) => {
  const path = join(runDir, 'checkpoints/step-000003');
  const events = [
    { event: 'run', attempt: 1 },
    { event: 'checkpoint', path },
  ];
  writeFileSync(join(runDir, 'events.jsonl'), events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  const { code, message } = await refusalOf(runDir);
  assert.is(code, 'E-CKPT-NONE');
  assert.match(message, `no checkpoint, where it had ${path}, expected`);
});

test('all were set aside ~> E-CKPT-NONE, which says how to take one up', async ({ runDir }) => {
  const path = join(runDir, 'checkpoints/step-000003.left');
  mkdirSync(path, { recursive: true });
  const { code, message } = await refusalOf(runDir);
  assert.is(code, 'E-CKPT-NONE');
  assert.match(
    message,
    `no checkpoint but ${path}, expected a checkpoint to go on from. Fix: give that its name back`,
  );
});

test('its folder for a new run ~> E-LOCK, which names --resume only where that begins the run anew', ({
  runDir,
}) => {
  const events = join(runDir, 'events.jsonl');
  const left = join(runDir, 'checkpoints/step-000003.left');
  const advice = () => {
    try {
      useRunFolder(runDir);
    } catch (error) {
      return /Fix: (.*), or choose another --run-dir/.exec((error as LongscanError).message)?.[1];
    }
    return assert.unreachable('the folder was taken');
  };
  const anew = 'add --resume to begin that run anew';
  const away = 'move what it holds away';
  assert.is(advice(), anew);
  writeFileSync(events, `${JSON.stringify({ event: 'launch', resumeFrom: null })}\n`);
  mkdirSync(join(runDir, 'checkpoints/step-000003'), { recursive: true });
  assert.is(advice(), anew);
  mkdirSync(left);
  assert.is(advice(), away);
  rmSync(left, { recursive: true });
  writeFileSync(events, `${JSON.stringify({ event: 'checkpoint', path: 'lost' })}\n{"event":"che`);
  assert.is(advice(), away);
  rmSync(events);
  rmSync(join(runDir, 'plan.json'));
  writeFileSync(join(runDir, 'metrics.jsonl'), '');
  assert.is(advice(), away);
});

test('a search that comes by a run whose checkpoints cannot be read ~> E-DISK, not an older run', async ({
  runDir,
}) => {
  const before = process.cwd();
  const mine = join(runDir, 'runs/mine');
  mkdirSync(mine, { recursive: true });
  writeFileSync(join(mine, 'plan.json'), JSON.stringify({ ...plan, jobSpec }));
  symlinkSync('checkpoints', join(mine, 'checkpoints'));
  process.chdir(runDir);
  try {
    await findResumeTarget({ resume: 'auto', runDir: undefined, jobSpec });
    assert.unreachable('it was passed over');
  } catch (error) {
    assert.match((error as Error).message, /E-DISK.*mine\/checkpoints: cannot be read \(ELOOP\)/);
  } finally {
    process.chdir(before);
  }
});

test('it begins anew as another job ~> refused with the difference; changed code has had no part in it', async ({
  runDir,
}) => {
  const target = await targetOf(runDir);
  const contents = { codeHashes: { '/layer.ts': 'a' }, allowCodeChange: false, textChange: null };
  refuseDrift(target, jobSpec, contents);
  const changed = { ...jobSpec, optimizer: { ...jobSpec.optimizer, lr: 0.5 } };
  assert.throws(
    () => refuseDrift(target, changed, contents),
    /E-RESUME-DRIFT.*optimizer\.lr was 0\.001 and is 0\.5/,
  );
});

test.run();
