import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LongscanError } from '@longscan/worker/protocol';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { makeFolders, onDisk, writeFileOnDisk } from './on-disk.js';

const folder = mkdtempSync(join(tmpdir(), 'longscan-on-disk-'));
const test = suite('on disk');
test.after(() => rmSync(folder, { recursive: true }));

function refusalOf(action: () => unknown): LongscanError {
  try {
    action();
  } catch (error) {
    if (error instanceof LongscanError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

const failing = (code: string) => () => {
  throw Object.assign(new Error(code), { code, errno: -1 });
};

test('what the file system refuses is told with the place, the reason and a way out', () => {
  const disk = (found: string, fix: string) =>
    `error[E-DISK] /place: ${found}, expected a place with space that this user may write to. Fix: ${fix}`;
  const full = refusalOf(() => onDisk('/place', failing('ENOSPC'), '--run-dir'));
  assert.is(full.message, disk('no space is left (ENOSPC)', 'free some space, or choose another --run-dir'));
  assert.is(full.exitCode, 3);
  const readOnly = refusalOf(() => onDisk('/place', failing('EROFS'), '--save'));
  const remedy = 'let this user write there, or choose another --save';
  assert.is(readOnly.message, disk('a read-only file system (EROFS)', remedy));
  const large = refusalOf(() => onDisk('/place', failing('EFBIG')));
  assert.match(large.message, 'a file larger than this user may write (EFBIG)');
  assert.match(large.message, 'Fix: raise the limit of file sizes (ulimit -f)');
  const odd = refusalOf(() => onDisk('/place', failing('EIO')));
  assert.is(odd.message, disk('it cannot be written (EIO)', 'see to the disk or the share that it lies on'));
});

test('errors of ours and those without a code pass', () => {
  const own = new LongscanError({ code: 'E-LOCK', where: 'here', found: 'it', exitCode: 3 });
  const throws = (error: Error) => () => {
    throw error;
  };
  assert.is(
    refusalOf(() => onDisk('/place', throws(own))),
    own,
  );
  assert.throws(() => onDisk('/place', throws(new TypeError('a bug'))), /a bug/);
});

test('folders are made down to the last one, and a file in their way is named', () => {
  const deep = join(folder, 'a', 'b', 'c');
  makeFolders(deep);
  makeFolders(deep);
  assert.ok(existsSync(deep));
  writeFileOnDisk(join(deep, 'd', 'text'), 'words');
  assert.is(readFileSync(join(deep, 'd', 'text'), 'utf8'), 'words');
  writeFileSync(join(folder, 'file'), '');
  for (const path of [join(folder, 'file', 'x'), join(folder, 'file', 'x', 'y')])
    assert.match(refusalOf(() => writeFileOnDisk(path, '')).message, 'a file where a folder is needed');
});

test('a folder that nothing can be made in', () => {
  const { code, message } = refusalOf(() => writeFileOnDisk('/proc/longscan/text', '', '--out'));
  assert.is(code, 'E-DISK');
  assert.match(message, 'choose another --out');
});

test.run();
