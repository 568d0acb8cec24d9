import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite<{ dir: string }>('set-up lock');
test.before.each((context) => {
  context.dir = mkdtempSync(path.join(os.tmpdir(), 'longscan-lock-'));
});
test.after.each(({ dir }) => rmSync(dir, { recursive: true }));

const lockModule = new URL('../setup/lock.mjs', import.meta.url).href;

/** A process that appends `in` and `out` to the log while it holds the lock, or dies holding it. */
async function holdLock(dir: string, end: 'release' | 'die'): Promise<void> {
  const program = `
    import { appendFileSync } from 'node:fs';
    import { setTimeout } from 'node:timers/promises';
    import { withLock } from ${JSON.stringify(lockModule)};
    await withLock(${JSON.stringify(path.join(dir, 'lock'))}, async () => {
      if (${end === 'die'}) process.kill(process.pid, 'SIGKILL');
      appendFileSync(${JSON.stringify(path.join(dir, 'log'))}, 'in ');
      await setTimeout(20);
      appendFileSync(${JSON.stringify(path.join(dir, 'log'))}, 'out ');
    });`;
  const args = ['--input-type=module', '--eval', program];
  const child = spawn(process.execPath, args, { stdio: 'ignore', timeout: 300_000 });
  const status = await new Promise((resolve) => child.once('exit', resolve));
  assert.is(status, end === 'die' ? null : 0);
}

function readLog(dir: string): string {
  return readFileSync(path.join(dir, 'log'), 'utf8');
}

test('one at a time', async ({ dir }) => {
  await Promise.all(Array.from({ length: 4 }, () => holdLock(dir, 'release')));
  assert.is(readLog(dir), 'in out '.repeat(4));
  assert.not(existsSync(path.join(dir, 'lock')));
});

test('a killed holder’s lock is taken over, by one at a time', async ({ dir }) => {
  await holdLock(dir, 'die');
  assert.ok(existsSync(path.join(dir, 'lock')));
  await Promise.all(Array.from({ length: 4 }, () => holdLock(dir, 'release')));
  assert.is(readLog(dir), 'in out '.repeat(4));
});

test('a stranger with a dead holder’s pid does not keep the lock', async ({ dir }) => {
  writeFileSync(path.join(dir, 'lock'), `${process.pid} 1`);
  await holdLock(dir, 'release');
  assert.is(readLog(dir), 'in out ');
});

test.run();
