import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Check } from './check.js';
import { libraryStatus } from './library-status.js';

// The command on machines of all kinds, which fake libraries stand for (kernels' cuda/testing and comm/testing).

const bin = fileURLToPath(new URL('../../bin/longscan.js', import.meta.url));
const built = (file: string) => fileURLToPath(new URL(`../../../kernels/build/${file}`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'longscan-doctor-test-'));

const fakes = {
  LONGSCAN_CUDA_DRIVER: built('fake_cuda_driver.so'),
  LONGSCAN_CUDA: built('fake_cuda_kernels.so'),
  LONGSCAN_CUBLAS: built('fake_cuda_cublaslt.so'),
  LONGSCAN_NCCL: built('fake_nccl.so'),
};

function doctor(env: NodeJS.ProcessEnv, ...args: string[]) {
  const { CUDA_VISIBLE_DEVICES: _, ...own } = process.env;
  const options = { cwd: folder, env: { ...own, ...env }, encoding: 'utf8', timeout: 300_000 } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, 'doctor', ...args], options);
  return { status, stdout, stderr };
}

function checksOf(env: NodeJS.ProcessEnv, ...args: string[]) {
  const { status, stdout, stderr } = doctor(env, ...args, '--json');
  assert.is(stderr, '');
  const checks: readonly Check[] = JSON.parse(stdout);
  return { status, checks, of: (name: string) => checks.find((check) => check.name === name) };
}

const test = suite('doctor');
test.after(() => rmSync(folder, { recursive: true }));

test('a whole machine with one GPU: one line each, nothing failed, nothing left behind', () => {
  const { status, stdout, stderr } = doctor(fakes);
  assert.is(stderr, '');
  assert.is(status, 0, stdout);
  const lines = stdout.trim().split('\n');
  const names = lines.slice(0, -1).map((line) => line.split(/ {2,}/)[1]);
  const host = ['node', 'addon', 'onednn', 'cores', 'memory', 'disk', 'sockets'];
  assert.equal(names, [...host, 'driver', 'gpu 0', 'kernels', 'cublas', 'nccl', 'gpu links']);
  assert.match(stdout, /^ok +gpu 0 +Fake GPU, compute capability 9\.0, .*MiB free$/m);
  assert.match(stdout, /^ok +kernels +.*sm_90$/m);
  assert.match(stdout, /^ok +nccl +2\.28\.3, .*fake_nccl\.so$/m);
  assert.is(lines.at(-1), 'nothing failed');
  assert.equal(readdirSync(folder), []);
});

test('--set without a job: there is nothing that it could set', () => {
  const { status, stdout, stderr } = doctor(fakes, '--set', 'model.dModle=3');
  assert.is(status, 2);
  assert.is(stdout, '');
  assert.match(
    stderr,
    /E-CLI-USAGE\] --set: model\.dModle=3 without a job, expected .*\. Fix: longscan doctor JOB --set/,
  );
});

test('JSON: an array of checks with these keys alone', () => {
  const { checks } = checksOf({ ...fakes, LONGSCAN_NCCL: '/nowhere' });
  for (const { name, status, found, ...rest } of checks) {
    assert.type(name, 'string');
    assert.ok(['ok', 'warning', 'failed', 'absent'].includes(status), status);
    assert.ok(found.length > 0);
    assert.ok(Object.keys(rest).every((key) => key === 'expected' || key === 'fix'));
  }
});

test('libraries that are named and not there, and others too old: the rest is still looked at', () => {
  const missing = checksOf({ ...fakes, LONGSCAN_NCCL: '/nowhere', LONGSCAN_CUBLAS: '/nowhere-either' });
  assert.is(missing.status, 3);
  assert.match(missing.of('nccl')!.found, 'Tried: /nowhere:');
  assert.match(missing.of('nccl')!.fix!, 'LONGSCAN_NCCL');
  assert.match(missing.of('cublas')!.found, 'Tried: /nowhere-either:');
  assert.equal([missing.of('nccl')!.status, missing.of('cublas')!.status], ['failed', 'failed']);
  assert.equal([missing.of('gpu 0')!.status, missing.of('kernels')!.status], ['ok', 'ok']);

  const old = checksOf({ ...fakes, LONGSCAN_FAKE_NCCL: 'version=21304', LONGSCAN_FAKE_CUDA: 'probe=209' });
  assert.is(old.status, 3);
  assert.match(old.of('nccl')!.found, 'is NCCL 2.13.4, expected 2.14.0');
  assert.match(old.of('kernels')!.found, 'built for sm_80, sm_90 and do not run on Fake GPU');
  assert.is(old.of('cublas')!.status, 'ok');

  const driver = checksOf({ ...fakes, LONGSCAN_FAKE_CUDA: 'version=11000' });
  assert.is(driver.of('driver')!.status, 'failed');
  assert.match(driver.of('driver')!.found, 'the driver is of CUDA 11.0, expected 11.4');
});

test('no addon: what can be looked at without one is', () => {
  const { status, of } = checksOf({ LONGSCAN_ADDON: join(folder, 'none.node') });
  assert.is(status, 3);
  assert.is(of('addon')!.status, 'failed');
  assert.match(of('addon')!.fix!, 'npm run setup');
  assert.equal([of('sockets')!.status, of('driver')!.status], ['ok', 'absent']);
});

const job = '[data]\npath = "text.txt"\nsequenceLength = 1000\n[model]\ndModel = 64\nlayers = "gla"\n';

test('a host of GPUs without oneDNN: absent, unless a job is for its CPU', () => {
  const named = checksOf({ ...fakes, LONGSCAN_ONEDNN: '/nowhere' });
  assert.is(named.of('addon')!.status, 'ok');
  assert.is(named.of('onednn')!.status, 'failed');
  assert.match(named.of('onednn')!.found, 'Tried: /nowhere:');
  const missing = { ok: false, code: 'E-ONEDNN', found: 'oneDNN cannot be opened. Tried: x' } as const;
  assert.is(libraryStatus(missing, false, 'LONGSCAN_NOTHING'), 'absent');
  assert.is(libraryStatus(missing, true, 'LONGSCAN_NOTHING'), 'failed');
});

test('a job: what it needs has failed where it is not there', () => {
  const place = mkdtempSync(join(tmpdir(), 'longscan-doctor-job-'));
  try {
    const file = join(place, 'job.toml');
    writeFileSync(join(place, 'text.txt'), 'x'.repeat(4000));
    writeFileSync(file, job);
    const onCpu = checksOf({ LONGSCAN_CUDA_DRIVER: '' }, file, '--set', 'parallel.sp=2');
    assert.is(onCpu.status, 0);
    assert.match(onCpu.of('plan')!.found, '2 x 1 ranks');
    assert.is(onCpu.of('job memory')!.status, 'ok');

    const onTwo = checksOf(fakes, file, '--set', 'parallel.sp=2', '--set', 'device.kind=cuda');
    assert.is(onTwo.status, 3);
    assert.match(onTwo.of('job gpus')!.found, /^1 GPU .* for 2 ranks$/);
    assert.match(onTwo.of('job gpus')!.fix!, 'device.share');

    const small = { ...fakes, LONGSCAN_FAKE_CUDA: 'bytes=1000000' };
    const memory = checksOf(small, file, '--set', 'device.kind=cuda').of('job memory')!;
    assert.is(memory.status, 'failed');
    assert.match(memory.expected!, 'at most 898.4 KiB');

    const none = checksOf({ LONGSCAN_CUDA_DRIVER: '/nowhere' }, file, '--set', 'device.kind=cuda');
    assert.is(none.of('driver')!.status, 'failed');

    const wrong = checksOf({}, file, '--set', 'model.dModl=1', '--set', 'job.steps=0');
    assert.is(wrong.status, 3);
    const problems = wrong.checks.filter(({ name, status }) => name === 'job' && status === 'failed');
    assert.is(problems.length, 2);
    assert.ok(problems.some(({ fix }) => fix === 'did you mean model.dModel?'));
    rmSync(join(place, 'text.txt'));
    assert.is(checksOf({}, file).status, 3);
  } finally {
    rmSync(place, { recursive: true });
  }
});

test('a wrong word: what was meant', () => {
  assert.match(doctor({}, '--jsn').stderr, 'did you mean --json?');
});

test.run();
