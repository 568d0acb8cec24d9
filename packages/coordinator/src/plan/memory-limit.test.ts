import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { jobSpecSchema } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { availableMemory } from './host-memory.js';
import { memoryLimit } from './memory-limit.js';

/** What is available where a kernel's files say this. */
function availableWith(files: Readonly<Record<string, string>>): number {
  const root = mkdtempSync(join(tmpdir(), 'longscan-memory-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), text);
    }
    return availableMemory({ proc: join(root, 'proc'), cgroup: join(root, 'cgroup') });
  } finally {
    rmSync(root, { recursive: true });
  }
}

const meminfo = 'MemTotal:       16000000 kB\nMemFree:         100000 kB\nMemAvailable:    8000000 kB\n';

test('available memory ~> the kernel says so', () => {
  assert.is(availableWith({ 'proc/meminfo': meminfo }), 1024 * 8_000_000);
  assert.is(availableWith({}), totalmem());
});

test('available memory ~> no more than a control group or one around it allows, files that can be dropped left out', () => {
  const files = {
    'proc/meminfo': meminfo,
    'proc/self/cgroup': '0::/outer/inner\n',
    'cgroup/outer/inner/memory.max': 'max\n',
    'cgroup/outer/memory.max': '4000000\n',
    'cgroup/outer/memory.current': '3500000\n',
    'cgroup/outer/memory.stat': 'anon 1000000\nfile 2400000\nshmem 400000\n',
  };
  assert.is(availableWith(files), 4_000_000 - 3_500_000 + 2_000_000);
  assert.is(availableWith({ ...files, 'cgroup/outer/inner/memory.max': '1000\n' }), 1000);
  assert.is(availableWith({ ...files, 'cgroup/outer/memory.current': '9000000\n' }), 0);
});

function jobWith(device: object, parallel: object = {}) {
  return jobSpecSchema.parse({
    model: { mlp: 0, layers: [{ use: 'gla', options: {}, file: null }] },
    data: { path: 'unused' },
    ...{ device, parallel },
  });
}

test('limit ~> given, an equal part of the host, of a known GPU or not known', () => {
  const host = () => 12 * 2 ** 30;
  const limitOf = (device: object, parallel?: object) => memoryLimit(jobWith(device, parallel), host);
  assert.is(limitOf({ memory: '1.5GiB' })?.bytes, 1.5 * 2 ** 30);
  assert.is(limitOf({ kind: 'cuda', memory: '80 GiB' })?.bytes, 80 * 2 ** 30);
  assert.equal(limitOf({}, { sp: 2, dp: 3 }), {
    bytes: 2 * 2 ** 30,
    reason: '12.0 GiB that this host has available, over 6 ranks',
  });
  assert.is(limitOf({ kind: 'cuda' }), null);
  const h100 = limitOf({ kind: 'cuda' }, { fabric: 'h100' });
  assert.ok(h100!.bytes > 70 * 2 ** 30 && h100!.bytes < 80 * 2 ** 30);
});

test.run();
