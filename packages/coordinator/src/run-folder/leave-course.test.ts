import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkpointName, type Manifest } from '@longscan/worker/checkpoint';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { leaveCourse } from './leave-course.js';
import { committedOf, type ResumeTarget } from './resume.js';

const test = suite<{ runDir: string }>('leave course');
test.before.each((context) => {
  context.runDir = mkdtempSync(join(tmpdir(), 'longscan-course-'));
});
test.after.each(({ runDir }) => rmSync(runDir, { recursive: true }));

/** Marked as committed; what else is in it does not matter here. */
function makeCheckpoint(runDir: string, step: number): void {
  mkdirSync(join(runDir, 'checkpoints', checkpointName(step)), { recursive: true });
  writeFileSync(join(runDir, 'checkpoints', checkpointName(step), 'COMMITTED'), '');
}

function targetAt(runDir: string, step: number): ResumeTarget {
  const manifest = { step } as Manifest;
  const dir = join(runDir, 'checkpoints', checkpointName(step));
  return { runDir, checkpoint: { dir, manifest }, committed: committedOf(runDir), skipped: [] };
}

test('many later checkpoints ~> told of by the first, the last and their number', async ({ runDir }) => {
  for (let step = 1; step <= 9; step++) makeCheckpoint(runDir, step);
  assert.match(
    (await leaveCourse(targetAt(runDir, 2)))!.message,
    /^goes on from step 2: .* are now step-000003\.left … step-000009\.left \(7 of them\);/,
  );
  assert.is(await leaveCourse(targetAt(runDir, 2)), null);
});

test('checkpoints that another launch has saved or removed meanwhile ~> E-LOCK, none set aside', async ({
  runDir,
}) => {
  for (const step of [2, 4, 6]) makeCheckpoint(runDir, step);
  const target = targetAt(runDir, 4);
  for (const change of [
    () => makeCheckpoint(runDir, 8),
    () => rmSync(join(runDir, 'checkpoints', 'step-000002'), { recursive: true }),
    () => rmSync(target.checkpoint!.dir, { recursive: true }),
  ]) {
    change();
    const before = readdirSync(join(runDir, 'checkpoints'));
    const error = await leaveCourse(target).then(
      () => assert.unreachable('it was not refused') as never,
      (reason: { code: string; exitCode: number }) => reason,
    );
    assert.equal([error.code, error.exitCode], ['E-LOCK', 3]);
    assert.equal(readdirSync(join(runDir, 'checkpoints')), before);
  }
});

test.run();
