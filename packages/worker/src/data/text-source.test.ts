import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openText, type TextOptions } from './text-source.js';

const test = suite<{ dir: string }>('text source');
test.before((context) => {
  context.dir = mkdtempSync(path.join(os.tmpdir(), 'longscan-text-'));
});
test.after(({ dir }) => rmSync(dir, { recursive: true }));

const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);

function write(dir: string, name: string, content: Uint8Array): string {
  const file = path.join(dir, name);
  writeFileSync(file, content);
  return file;
}

function failure(options: TextOptions): { code: string; exitCode: number; message: string } {
  try {
    openText(options).close();
  } catch (error) {
    return error as { code: string; exitCode: number; message: string };
  }
  throw new Error('openText accepted it');
}

test('holds out the last fraction of the text', ({ dir }) => {
  const text = openText({ path: write(dir, 'a', bytes), validation: 0.1, sequenceLength: 64 });
  assert.is(text.training.numBytes, 900);
  assert.is(text.validation?.numBytes, 100);
  assert.equal(text.training.read(890, 10), bytes.slice(890, 900));
  assert.equal(text.validation?.read(0, 5), bytes.slice(900, 905));
  text.close();
});

test('takes the validation text from a file of its own', ({ dir }) => {
  const heldOut = write(dir, 'held-out', Uint8Array.of(7, 8, 9));
  const text = openText({ path: write(dir, 'a', bytes), validation: heldOut, sequenceLength: 64 });
  assert.is(text.training.numBytes, 1000);
  assert.equal(text.validation?.read(0, 3), Uint8Array.of(7, 8, 9));
  text.close();
});

test('holds out nothing at 0', ({ dir }) => {
  const text = openText({ path: write(dir, 'a', bytes), validation: 0, sequenceLength: 64 });
  assert.is(text.validation, null);
  text.close();
});

test('a missing file, a missing validation file and a folder are E-DATA-NONE', ({ dir }) => {
  const path_ = write(dir, 'a', bytes);
  const gone = path.join(dir, 'gone.txt');
  for (const [options, found] of [
    [{ path: gone, validation: 0, sequenceLength: 64 }, 'data.path'],
    [{ path: path_, validation: gone, sequenceLength: 64 }, 'data.validation'],
    [{ path: dir, validation: 0, sequenceLength: 64 }, 'a folder'],
  ] as const) {
    const error = failure(options);
    assert.is(error.code, 'E-DATA-NONE');
    assert.is(error.exitCode, 4);
    assert.ok(error.message.includes(found), error.message);
  }
});

test('a named pipe and a device are refused without waiting for who writes to them', ({ dir }) => {
  const pipe = path.join(dir, 'pipe');
  execFileSync('mkfifo', [pipe]);
  for (const options of [
    { path: pipe, validation: 0, sequenceLength: 64 },
    { path: write(dir, 'a', bytes), validation: pipe, sequenceLength: 64 },
    { path: '/dev/zero', validation: 0, sequenceLength: 64 },
  ]) {
    // With a writer there, code that opens the pipe fails the test in place of hanging it.
    const writer = openSync(pipe, 'r+');
    const error = failure(options);
    closeSync(writer);
    assert.is(error.code, 'E-DATA-NONE');
    assert.match(
      error.message,
      'a pipe, a device or a socket, which has no size, expected a text file. Fix: ',
    );
  }
});

test('an empty and a too short text are E-DATA-EMPTY with both sizes', ({ dir }) => {
  const empty = failure({ path: write(dir, 'empty', new Uint8Array()), validation: 0.1, sequenceLength: 64 });
  assert.is(empty.code, 'E-DATA-EMPTY');
  assert.match(empty.message, '0 bytes');
  const short = failure({ path: write(dir, 'a', bytes), validation: 0.5, sequenceLength: 500 });
  assert.is(short.code, 'E-DATA-EMPTY');
  assert.match(short.message, '500 bytes without the held-out 50 %, expected at least 501');
  assert.is(
    failure({ path: write(dir, 'a', bytes), validation: 1e-9, sequenceLength: 500 }).code,
    'E-DATA-EMPTY',
  );
});

test('exactly one sequence and its last label is enough', ({ dir }) => {
  openText({ path: write(dir, 'a', bytes), validation: 0, sequenceLength: 999 }).close();
  assert.is(
    failure({ path: write(dir, 'a', bytes), validation: 0, sequenceLength: 1000 }).code,
    'E-DATA-EMPTY',
  );
});

test('a file cut short while it is read is E-DATA-CHANGED', ({ dir }) => {
  const file = write(dir, 'cut', bytes);
  const text = openText({ path: file, validation: 0, sequenceLength: 64 });
  truncateSync(file, 100);
  assert.throws(() => text.training.read(90, 20), /E-DATA-CHANGED.*ends at byte 100/);
  text.close();
});

test.run();
