import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { nodeFs } from './durable-fs.js';
import { committedFile } from './files.js';
import { leaveCheckpoints } from './leave.js';
import { checkpointsFolder, latestCommitted, listCheckpoints, listLeft } from './list.js';
import { saveCheckpoint } from './save.js';
import { hookedFs, sampleContent, sampleContext } from './testing.js';
import { latestValid, verifyCheckpoint } from './verify.js';

const test = suite<{ dir: string }>('leave');
test.before.each((context) => {
  context.dir = mkdtempSync(path.join(os.tmpdir(), 'longscan-leave-'));
});
test.after.each(({ dir }) => rmSync(dir, { recursive: true }));

const save = (dir: string, step: number, keep = 0) =>
  saveCheckpoint(dir, sampleContent(step), sampleContext(step), { keep });
const namesOf = (dir: string) => readdirSync(checkpointsFolder(dir)).sort();
const stepsOf = (dir: string) => listCheckpoints(dir).map(({ step }) => step);

async function saveAll(dir: string, steps: readonly number[]): Promise<void> {
  for (const step of steps) await save(dir, step);
}

test('checkpoints beyond a step ~> neither newest nor counted by keep; whole under their names again', async ({
  dir,
}) => {
  await saveAll(dir, [4, 6, 8, 10]);
  assert.equal(await leaveCheckpoints(dir, 6), [
    { name: 'step-000008', leftName: 'step-000008.left' },
    { name: 'step-000010', leftName: 'step-000010.left' },
  ]);
  assert.equal(stepsOf(dir), [4, 6]);
  assert.equal(
    listLeft(dir).map(({ step, isCommitted }) => [step, isCommitted]),
    [
      [8, true],
      [10, true],
    ],
  );
  assert.is((await latestValid(dir)).checkpoint.step, 6);
  assert.is(latestCommitted(dir).step, 6);
  for (const step of [7, 9]) await save(dir, step, 2);
  assert.equal(namesOf(dir), ['step-000007', 'step-000008.left', 'step-000009', 'step-000010.left']);
  const left = path.join(checkpointsFolder(dir), 'step-000010.left');
  assert.is((await verifyCheckpoint(left)).step, 10);
  renameSync(left, left.slice(0, -'.left'.length));
  assert.is((await latestValid(dir)).checkpoint.step, 10);
});

test('nothing beyond the step, or no checkpoint at all ~> nothing is touched', async ({ dir }) => {
  const untouched = hookedFs(nodeFs, (operation) => assert.unreachable(operation));
  assert.equal(await leaveCheckpoints(dir, 6, untouched), []);
  await saveAll(dir, [4, 6]);
  assert.equal(await leaveCheckpoints(dir, 6, untouched), []);
});

test('a name that an earlier course has ~> the next free one', async ({ dir }) => {
  for (const suffix of ['.left', '.left-2', '.left-3']) {
    await saveAll(dir, [6, 8]);
    assert.equal(await leaveCheckpoints(dir, 6), [{ name: 'step-000008', leftName: `step-000008${suffix}` }]);
  }
  assert.equal(
    listLeft(dir).map(({ dir: left }) => path.basename(left)),
    ['step-000008.left', 'step-000008.left-2', 'step-000008.left-3'],
  );
});

/** Folders as saves that were cut off leave them. */
function makeFolders(dir: string, isCommittedByName: Readonly<Record<string, boolean>>): void {
  for (const [name, isCommitted] of Object.entries(isCommittedByName)) {
    const folder = path.join(checkpointsFolder(dir), name);
    mkdirSync(folder, { recursive: true });
    if (isCommitted) writeFileSync(path.join(folder, committedFile), '');
  }
}

test('a checkpoint that was being replaced goes too, debris of a save does not', async ({ dir }) => {
  await saveAll(dir, [6]);
  makeFolders(dir, { 'step-000008.replaced': true, 'step-000008': false });
  makeFolders(dir, { 'step-000010.replaced': true, 'step-000010': true, 'step-000012': false });
  assert.equal(await leaveCheckpoints(dir, 6), [
    { name: 'step-000008.replaced', leftName: 'step-000008.left' },
    { name: 'step-000010.replaced', leftName: 'step-000010.left' },
    { name: 'step-000010', leftName: 'step-000010.left-2' },
  ]);
  await save(dir, 7);
  assert.equal(namesOf(dir), [
    ...['step-000006', 'step-000007', 'step-000008.left', 'step-000010.left', 'step-000010.left-2'],
  ]);
});

const operations = ['rename 8', 'rename 10', 'rename 12', 'sync the folder'];

test('any operation that fails ~> every checkpoint has its name again', async ({ dir }) => {
  await saveAll(dir, [6, 8, 10, 12]);
  const before = namesOf(dir);
  for (const failAt of operations.keys()) {
    let numOperations = 0;
    const fs = hookedFs(nodeFs, () => {
      if (numOperations++ === failAt) throw Object.assign(new Error('denied'), { code: 'EACCES' });
    });
    const error = await leaveCheckpoints(dir, 6, fs).then(
      () => assert.unreachable(`${operations[failAt]} did not fail`) as never,
      (reason: NodeJS.ErrnoException) => reason,
    );
    assert.is(error.code, 'EACCES');
    assert.equal(namesOf(dir), before, operations[failAt]);
  }
});

test('an end at any operation ~> the newest is still the newest or all is done, and the next call ends it', async ({
  dir,
}) => {
  for (const endAt of operations.keys()) {
    rmSync(checkpointsFolder(dir), { recursive: true, force: true });
    await saveAll(dir, [6, 8, 10, 12]);
    let numOperations = 0;
    // From then on nothing is done any more, nor undone.
    const fs = hookedFs(nodeFs, () => {
      if (numOperations++ >= endAt) throw new Error('the end');
    });
    await leaveCheckpoints(dir, 6, fs).catch(() => {});
    assert.is((await latestValid(dir)).checkpoint.step, endAt < 3 ? 12 : 6, operations[endAt]);
    await leaveCheckpoints(dir, 6);
    assert.equal(stepsOf(dir), [6]);
    assert.equal(
      listLeft(dir).map(({ step }) => step),
      [8, 10, 12],
    );
  }
});

test.run();
