import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LongscanError } from '@longscan/worker/protocol';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RankKeys } from '../control/rank-keys.js';
import local from '../launchers/local.js';
import { runTask } from '../run-task.js';
import { TemporaryFolder } from './on-disk.js';

const folder = mkdtempSync(join(tmpdir(), 'longscan-temporary-'));
const prevPlace = process.env.TMPDIR;
const test = suite('temporary folder');
test.after.each(() => {
  if (prevPlace === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = prevPlace;
});
test.after(() => rmSync(folder, { recursive: true }));

async function refusalOf(action: () => unknown): Promise<LongscanError> {
  try {
    await action();
  } catch (error) {
    if (error instanceof LongscanError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

test('a missing TMPDIR is told by its name, whoever wants it', async () => {
  process.env.TMPDIR = join(folder, 'nowhere');
  const expected =
    `error[E-DISK] ${join(folder, 'nowhere')}: a folder that is not there (ENOENT), expected a place with space ` +
    'that this user may write to. Fix: make that folder, or choose another TMPDIR';
  for (const action of [
    () => new TemporaryFolder('longscan-'),
    () => new RankKeys(2),
    () => runTask({ kind: 'layers-check', file: 'gla', json: false } as never),
  ]) {
    const error = await refusalOf(action);
    assert.is(error.message, expected);
    assert.is(error.exitCode, 3);
  }
});

test('a folder is made in TMPDIR', () => {
  process.env.TMPDIR = folder;
  const made = new TemporaryFolder('longscan-new-');
  assert.ok(made.path.startsWith(join(folder, 'longscan-new-')));
  made.remove();
  const keys = new RankKeys(2);
  assert.is(readdirSync(folder).filter((name) => name.startsWith('longscan-keys-')).length, 1);
  keys.removeAll();
});

test('many folders at once ~> one listener for the end of the process, and no warning', async () => {
  process.env.TMPDIR = folder;
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on('warning', onWarning);
  const before = process.listenerCount('exit');
  const made = Array.from({ length: 12 }, () => new TemporaryFolder('longscan-many-'));
  assert.is(process.listenerCount('exit'), before + 1);
  // Warnings are told a turn later.
  await new Promise(setImmediate);
  for (const one of made) one.remove();
  assert.is(process.listenerCount('exit'), before);
  assert.equal(readdirSync(folder), []);
  process.off('warning', onWarning);
  assert.equal(warnings, []);
});

test('keys and bundles go with a process that ends itself', () => {
  const place = mkdtempSync(join(folder, 'exit-'));
  const code = `
    import { RankKeys } from ${JSON.stringify(new URL('../control/rank-keys.js', import.meta.url))};
    import { withBundleFiles } from ${JSON.stringify(new URL('./bundle-layer.js', import.meta.url))};
    import { readdirSync } from 'node:fs';
    new RankKeys(2);
    await withBundleFiles([{ file: '/layer.ts', sha256: '0', code: '' }], async () => {
      console.log(readdirSync(process.env.TMPDIR).length);
      process.exit(130);
    });`;
  const ended = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    env: { ...process.env, TMPDIR: place },
    encoding: 'utf8',
  });
  assert.equal([ended.status, ended.stdout, ended.stderr], [130, '2\n', '']);
  assert.equal(readdirSync(place), []);
});

test("a rank's log that cannot be made is told with its place", async () => {
  const file = join(folder, 'file');
  writeFileSync(file, '');
  const plan = { mesh: { numRanks: 1 }, jobSpec: { device: { threads: 1 } } } as const;
  const request = local.request(plan, { command: ['true'], logDir: join(file, 'logs'), numCores: 1 });
  const error = await refusalOf(() => local.submit(request, { env: () => ({}), onExit: () => {} }));
  assert.match(error.message, /E-DISK.*file\/logs\/rank-0\.log: a file where a folder is needed/);
});

test.run();
