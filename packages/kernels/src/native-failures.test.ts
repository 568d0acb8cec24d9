import { spawnSync } from 'node:child_process';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const modules = ['./device.js', './load-addon.js'].map((file) =>
  JSON.stringify(new URL(file, import.meta.url).href),
);

/** What C++ libraries throw is met where the system gives little: more memory, more threads than 6 GiB of addresses hold. */
const script = `
  const [{ openCpuDevice }, { loadAddon }] = await Promise.all([${modules.map((file) => `import(${file})`)}]);
  const refusal = (call) => { try { call(); return null; } catch ({ parts: { code, exitCode, found, fix } }) { return { code, exitCode, found, fix }; } };
  const errors = [
    refusal(() => openCpuDevice({ threads: 1024 })),
    refusal(() => loadAddon().gemmProbe(1, false, false, 65536, 1, 65536, 1)),
  ];
  openCpuDevice({ threads: 2 }).close();
  console.log(JSON.stringify(errors));
`;

test('exceptions that are not ours become errors with a code, and the process goes on', () => {
  const limits = 'ulimit -s 8192; ulimit -v 6000000; exec "$0" --input-type=module --eval "$1"';
  const child = spawnSync('/bin/sh', ['-c', limits, process.execPath, script], { encoding: 'utf8' });
  assert.equal([child.status, child.signal, child.stderr], [0, null, '']);
  const [threads, memory] = JSON.parse(child.stdout);
  assert.equal([threads.code, threads.exitCode], ['E-SYSTEM', 3]);
  assert.match(threads.found, /^contextCreate: the system refused: (?!.*Fix)/);
  assert.match(threads.fix, /^raise the limits/);
  assert.equal([memory.code, memory.exitCode], ['E-MEMORY', 3]);
  assert.equal([memory.found, memory.fix], ['gemmProbe: the host is out of memory', undefined]);
});

test.run();
