import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { nodeFs } from './durable-fs.js';
import { checkpointsFolder } from './list.js';
import { saveCheckpoint } from './save.js';
import { hookedFs, sampleContent, sampleContext } from './testing.js';
import { latestValid, verifyCheckpoint } from './verify.js';

const test = suite<{ dir: string }>('failed save');
test.before.each((context) => {
  context.dir = mkdtempSync(path.join(os.tmpdir(), 'longscan-disk-'));
});
test.after.each(({ dir }) => rmSync(dir, { recursive: true }));

test('any operation that fails leaves the earlier checkpoints whole, and the next save works', async ({
  dir,
}) => {
  for (const step of [10, 20])
    await saveCheckpoint(dir, sampleContent(step), sampleContext(step), { keep: 2 });
  let failAt = 0;
  for (let isDone = false; !isDone; failAt++) {
    let numOperations = 0;
    const fs = hookedFs(nodeFs, () => {
      if (numOperations++ === failAt) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
    });
    try {
      await saveCheckpoint(dir, sampleContent(failAt), sampleContext(30), { keep: 3, fs });
      isDone = true;
    } catch (error) {
      assert.match((error as Error).message, /error\[E-DISK\].*ENOSPC, \d+ bytes free.*with \d+ bytes free/);
      assert.is((error as { exitCode: number }).exitCode, 3);
      for (const name of ['step-000010', 'step-000020'])
        await verifyCheckpoint(path.join(checkpointsFolder(dir), name));
    }
  }
  assert.ok(failAt > 25, `only ${failAt} operations: is the hook called?`);
  const { checkpoint, skipped } = await latestValid(dir);
  assert.is(checkpoint.step, 30);
  assert.equal(skipped, []);
  assert.equal(readdirSync(checkpointsFolder(dir)).sort(), ['step-000010', 'step-000020', 'step-000030']);
});

test('a folder that was removed or renamed during the run is not made again', async ({ dir }) => {
  const runDir = path.join(dir, 'run');
  mkdirSync(runDir);
  const fs = hookedFs(nodeFs, (operation) => {
    if (operation.startsWith('rename')) renameSync(runDir, path.join(dir, 'renamed'));
  });
  for (const options of [{ keep: 0, fs }, { keep: 0 }]) {
    const error = await saveCheckpoint(runDir, sampleContent(1), sampleContext(1), options).catch((e) => e);
    assert.equal([error.code, error.exitCode], ['E-DISK', 3], error.message);
    assert.match(error.message, /run: the folder of the run is no longer there, expected .* Fix: leave/);
    assert.not(existsSync(runDir));
  }
});

test('what is not a disk without space is not told as one', async ({ dir }) => {
  for (const [code, remedy] of [
    ['EFBIG', 'raise the limit of file sizes (ulimit -f), or'],
    ['EROFS', 'let this user write there, or'],
    ['ENOENT', 'leave what a run under way writes where it is, or'],
  ] as const) {
    const fs = hookedFs(nodeFs, () => {
      throw Object.assign(new Error('refused'), { code });
    });
    const options = { keep: 0, fs };
    const error = await saveCheckpoint(dir, sampleContent(1), sampleContext(1), options).catch((e) => e);
    assert.is(error.code, 'E-DISK');
    assert.ok(error.message.includes(`could not be written (${code}`), error.message);
    assert.ok(error.message.includes(` Fix: ${remedy}`), error.message);
  }
});

test('an error that is not the disk’s is passed on as it is', async ({ dir }) => {
  const bug = new Error('a bug');
  const fs = hookedFs(nodeFs, (operation) => {
    if (operation.startsWith('rename')) throw bug;
  });
  try {
    await saveCheckpoint(dir, sampleContent(1), sampleContext(1), { keep: 0, fs });
    assert.unreachable();
  } catch (error) {
    assert.is(error, bug);
  }
});

// A file system of 256 KiB in a mount namespace of its own, which ends with the process. Needs root.
const mountArgs = ['--mount', 'sh', '-c', 'mount -t tmpfs -o size=256k none "$0" && exec "$@"'];
const canMount = spawnSync('unshare', [...mountArgs, os.tmpdir(), 'true']).status === 0;
const testWhereMountsWork = canMount ? test : test.skip;
testWhereMountsWork('a full file system is E-DISK and the checkpoint before it is whole', ({ dir }) => {
  const child = fileURLToPath(new URL('failed-save.child.js', import.meta.url));
  const args = [...mountArgs, dir, process.execPath, child, dir];
  const { stdout, stderr } = spawnSync('unshare', args, { encoding: 'utf8', timeout: 200_000 });
  assert.match(stdout, /error\[E-DISK\].*ENOSPC/, stderr);
  assert.match(stdout, 'latest 20');
});

test.run();
