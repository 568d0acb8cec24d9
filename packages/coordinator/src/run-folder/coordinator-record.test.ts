import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  acquireRunFolder,
  type CoordinatorRecord,
  isLive,
  ownRecord,
  readRecord,
  releaseRunFolder,
  writeRecord,
} from './coordinator-record.js';
import { processStartTime } from './process-identity.js';

function withFolder(body: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'longscan-record-test-'));
  try {
    body(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A record of a process that has this pid but is another. */
const dead: CoordinatorRecord = { ...ownRecord('old'), startTime: 'another-boot/1' };

test('a process is named by its pid and its start', () => {
  assert.match(processStartTime(process.pid) ?? '', /^[0-9a-f-]{36}\/\d+$/);
  assert.is(processStartTime(process.pid), processStartTime(process.pid));
  assert.is(processStartTime(2 ** 22 + 1), null);
});

test('alive: this process; not: an ended run, a pid that was given out again; unknown host: alive', () => {
  assert.is(isLive(ownRecord('a')), true);
  assert.is(isLive({ ...ownRecord('a'), endedAt: 'now' }), false);
  assert.is(isLive(dead), false);
  assert.is(isLive({ ...dead, host: 'elsewhere' }), true);
});

test('a new folder, and one whose run has ended, are taken without a notice', () =>
  withFolder((folder) => {
    const first = ownRecord('first');
    assert.is(acquireRunFolder(folder, first), null);
    releaseRunFolder(folder, first);
    assert.is(acquireRunFolder(folder, ownRecord('second')), null);
    assert.is(readRecord(folder)?.jobId, 'second');
  }));

test('the place of a dead coordinator is taken, and who it was is told', () =>
  withFolder((folder) => {
    writeRecord(folder, dead);
    assert.equal(acquireRunFolder(folder, ownRecord('next')), dead);
    assert.is(readRecord(folder)?.jobId, 'next');
  }));

test('a live run keeps its folder, and the attempt leaves nothing behind', () =>
  withFolder((folder) => {
    acquireRunFolder(folder, ownRecord('first'));
    assert.throws(() => acquireRunFolder(folder, ownRecord('second')), /E-LOCK/);
    assert.is(readRecord(folder)?.jobId, 'first');
    assert.equal(readdirSync(folder), ['coordinator.json']);
  }));

test('a record that cannot be read is nobody’s', () =>
  withFolder((folder) => {
    writeRecord(folder, { nonsense: true } as unknown as CoordinatorRecord);
    assert.is(readRecord(folder), null);
    assert.is(acquireRunFolder(folder, ownRecord('next')), null);
  }));

test.run();
