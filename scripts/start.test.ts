import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** `npm start` as a user types it. Every case here is refused before anything is set up or trained. */
function npmStart(...args: string[]): { status: number | null; stderr: string } {
  return spawnSync('npm', ['start', ...args], { cwd: root, encoding: 'utf8', timeout: 300_000 });
}

test('npm start --set without -- is refused with the right form', () => {
  const { status, stderr } = npmStart('--set', 'parallel.sp=1');
  assert.is(status, 2, stderr);
  assert.match(stderr, /E-CLI-NPM.*npm kept --set for itself.*Fix: npm start -- --set parallel\.sp=1$/m);
});

test('every flag that npm kept is in the right form', () => {
  const { status, stderr } = npmStart(
    '--set',
    'job.steps=2',
    '--set',
    'parallel.sp=1',
    '--resume',
    '--launcher=local',
  );
  assert.is(status, 2, stderr);
  assert.match(stderr, 'Fix: npm start -- --set job.steps=2 --set parallel.sp=1 --resume --launcher=local\n');
});

test('a bare setting is refused too', () => {
  const { status, stderr } = npmStart('parallel.sp=1');
  assert.is(status, 2, stderr);
  assert.match(stderr, 'Fix: npm start -- --set parallel.sp=1\n');
});

test.run();
