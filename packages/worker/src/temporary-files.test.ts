import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { removeAtExit } from './temporary-files.js';

const folder = mkdtempSync(join(tmpdir(), 'longscan-temporary-files-'));
test.after(() => rmSync(folder, { recursive: true }));

test('many files and folders ~> one listener, which goes with the last of them', () => {
  const before = process.listenerCount('exit');
  const removals = Array.from({ length: 12 }, (_, i) => {
    const path = join(folder, `${i}`);
    mkdirSync(path);
    writeFileSync(join(path, 'file'), '');
    return { path, remove: removeAtExit(path) };
  });
  assert.is(process.listenerCount('exit'), before + 1);
  for (const { path, remove } of removals) {
    assert.is(process.listenerCount('exit'), before + 1);
    remove();
    assert.is(existsSync(path), false);
  }
  assert.is(process.listenerCount('exit'), before);
  removals[0]!.remove();
});

test('a process that ends itself ~> nothing of what it has left, all that it was not told of', () => {
  const url = new URL('./temporary-files.js', import.meta.url).href;
  const code = `
    import { mkdirSync, writeFileSync } from 'node:fs';
    import { removeAtExit } from ${JSON.stringify(url)};
    writeFileSync('kept', '');
    for (const name of ['a', 'b', 'c']) mkdirSync(name);
    writeFileSync('a/file', '');
    const [, remove] = ['a', 'b', 'c'].map(removeAtExit);
    remove();
    process.exit(7);`;
  const ended = spawnSync(process.execPath, ['--input-type=module', '-e', code], { cwd: folder });
  assert.equal([ended.status, `${ended.stderr}`], [7, '']);
  assert.equal(readdirSync(folder), ['kept']);
});

test('one that cannot be removed ~> those after it go all the same', () => {
  const url = new URL('./temporary-files.js', import.meta.url).href;
  const code = `
    import { mkdirSync } from 'node:fs';
    import { removeAtExit } from ${JSON.stringify(url)};
    mkdirSync('after');
    // Nobody may remove anything there, root included.
    for (const path of ['/proc/self/status', 'after']) removeAtExit(path);
    process.exit(7);`;
  const ended = spawnSync(process.execPath, ['--input-type=module', '-e', code], { cwd: folder });
  assert.equal([ended.status, `${ended.stderr}`], [7, '']);
  assert.equal(existsSync(join(folder, 'after')), false);
});

test.run();
