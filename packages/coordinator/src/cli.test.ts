import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { listUnits } from './units.js';

const bin = fileURLToPath(new URL('../bin/longscan.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'longscan-cli-'));

/** Runs the program where no addon can be found: what is tested here must do without one. */
function longscan(...args: string[]) {
  const env = { ...process.env, LONGSCAN_ADDON: join(folder, 'no-addon.node') };
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args], {
    cwd: folder,
    env,
    encoding: 'utf8',
    timeout: 300_000,
  });
  return { status, stdout, stderr };
}

const test = suite('cli without an addon');
test.after(() => rmSync(folder, { recursive: true }));

test('help of the program', () => {
  const { status, stdout, stderr } = longscan('--help');
  assert.is(status, 0);
  assert.is(stderr, '');
  assert.match(stdout, 'longscan status <run>');
});

test('a wrong flag: exit code 2, one line on stderr, nothing on stdout', () => {
  assert.equal(longscan('status', 'x', '--jsn'), {
    status: 2,
    stdout: '',
    stderr: 'error[E-CLI-UNKNOWN] longscan status: unknown flag --jsn. Fix: did you mean --json?\n',
  });
});

test('with --json the error is an event on stdout too', () => {
  const { status, stdout } = longscan('status', 'x', '--json');
  assert.is(status, 2);
  const event = JSON.parse(stdout);
  assert.equal([event.event, event.code, event.exitCode], ['error', 'E-RUN-NONE', 2]);
});

test('a file where a run or a checkpoint is expected, and a place that cannot be written, are no bugs of ours', () => {
  writeFileSync(join(folder, 'a-file'), '');
  assert.is(longscan('status', 'a-file').status, 2);
  assert.match(longscan('ckpt', 'verify', 'a-file/x').stderr, /^error\[E-CKPT-NONE\] a-file\/x: /);
  // The name of a run may have a dot, as that of examples/bench has.
  assert.match(longscan('ckpt', 'verify', 'gla-1.3b-2026').stderr, /^error\[E-RUN-NONE\] gla-1.3b-2026: /);
  const refused = longscan('layers', 'new', '/proc/my-layer.ts');
  assert.is(refused.status, 3);
  assert.match(refused.stderr, /^error\[E-DISK\] \/proc\/my-layer.ts: /);
});

test('a place for files that cannot be is refused before a curve is simulated for it', () => {
  const job = join(folder, 'small.toml');
  writeFileSync(job, '[data]\npath = "text.txt"\n');
  for (const what of [[job, '--sp', '1'], ['--papers']]) {
    const { status, stdout, stderr } = longscan('simulate', ...what, '--out', job);
    assert.equal([status, stdout], [3, '']);
    assert.match(
      stderr,
      /^error\[E-DISK\] .*small.toml: a file where a folder is needed .* or choose another --out/,
    );
  }
});

test('an error for programs is one whatever the form of the flag', () => {
  const { status, stdout } = longscan('status', 'x', '--json=true');
  assert.equal([status, JSON.parse(stdout).code], [2, 'E-RUN-NONE']);
});

test('an output that takes no more: exit code 3; one whose reader has gone: 0', () => {
  const shell = (args: string) =>
    spawnSync('/bin/sh', ['-c', `"${process.execPath}" "${bin}" ${args}`], { encoding: 'utf8' });
  for (const args of ['layers', '--help']) {
    const full = shell(`${args} > /dev/full`);
    assert.is(full.status, 3);
    assert.match(full.stderr, /^error\[E-DISK\] standard output: ENOSPC.*, expected .* Fix: free some space/);
  }
  assert.equal(shell('layers | true').stderr, '');
});

test('a layer file that ends what computes with it is no success', () => {
  const job = join(folder, 'ending.toml');
  writeFileSync(join(folder, 'text.txt'), 'x'.repeat(500));
  writeFileSync(
    job,
    '[model]\nlayers = "./ending.ts"\nchunk = 16\n[data]\npath = "text.txt"\nsequenceLength = 64\nvalidation = 0\n',
  );
  for (const [code, exitCode] of [
    ['process.exit(0);', 0],
    ['process.exit(7);', 7],
    ['await new Promise(() => {});', 0],
  ] as const) {
    writeFileSync(join(folder, 'ending.ts'), code);
    const { status, stdout, stderr } = longscan('plan', job, '--json');
    assert.is(status, 1, code);
    assert.match(
      stderr,
      `error[E-ENDED] ${join(folder, 'ending.ts')}: the planning ended before it was done, with exit code ${exitCode},`,
    );
    assert.is(JSON.parse(stdout).code, 'E-ENDED');
  }
});

test('a process that ends before its command has is no success', () => {
  const ending =
    "const end = () => (process.listenerCount('SIGHUP') > 0 ? process.exit(0) : setImmediate(end)); end();";
  const flag = `--import=data:text/javascript,${encodeURIComponent(ending)}`;
  const job = join(folder, 'sound.toml');
  writeFileSync(job, '[data]\npath = "text.txt"\n');
  const ended = spawnSync(process.execPath, [flag, bin, 'plan', job], { encoding: 'utf8' });
  assert.is(ended.status, 1);
  assert.match(ended.stderr, /^error\[E-ENDED\] longscan: .*, with exit code 0, expected .* Fix: report/);
});

test('a limit of open files that is too low to load the program is told', () => {
  const limited = (limit: number) =>
    spawnSync('/bin/sh', ['-c', `ulimit -n ${limit} && exec "${process.execPath}" "${bin}" --version`], {
      encoding: 'utf8',
    });
  const { status, stdout, stderr } = limited(100);
  assert.equal([status, stdout], [3, '']);
  assert.is(
    stderr,
    'error[E-LIMITS] longscan: a limit of 100 open files, expected at least 256. Fix: raise it (ulimit -Hn)\n',
  );
  assert.is(limited(256).status, 0);
});

test('layers lists what is installed', () => {
  const { status, stdout } = longscan('layers', '--json');
  assert.is(status, 0);
  const gla = JSON.parse(stdout).find((layer: { name: string }) => layer.name === 'gla');
  assert.is(gla.paper, 'https://arxiv.org/abs/2312.06635');
  assert.is(gla.transition, 'diagonal');
  assert.ok(gla.strategies.includes('all-scan'));
  assert.equal(gla.devices, ['cpu', 'cuda']);
  assert.equal(gla.attentionStrategies, []);
  const rat = JSON.parse(stdout).find((layer: { name: string }) => layer.name === 'rat');
  assert.equal(rat.attentionStrategies, ['head-all-to-all', 'kv-all-gather', 'ring-attention']);
  assert.match(longscan('layers').stdout, /^gla +diagonal +all +causal, masked +cpu, cuda /m);
});

test('layers new writes a layer whose types resolve, and overwrites nothing', () => {
  const file = join(folder, 'mine', 'my-layer.ts');
  const { status, stdout } = longscan('layers', 'new', file);
  assert.is(status, 0);
  assert.is(stdout, `${file}\n`);
  const tsc = fileURLToPath(new URL('../../../node_modules/typescript/bin/tsc', import.meta.url));
  const check = spawnSync(process.execPath, [tsc, '-p', join(folder, 'mine')], {
    encoding: 'utf8',
    timeout: 300_000,
  });
  assert.is(check.stdout, '');
  assert.is(check.status, 0);

  const source = readFileSync(file, 'utf8');
  const again = longscan('layers', 'new', file);
  assert.is(again.status, 2);
  assert.is(
    again.stderr,
    `error[E-CLI-USAGE] ${file}: a file that exists, expected a new one. Fix: choose another name\n`,
  );
  assert.is(readFileSync(file, 'utf8'), source);
  assert.match(longscan('layers', 'new', 'My Layer.js').stderr, 'a file name that is no layer name');
});

const job =
  '[data]\npath = "text.txt"\nsequenceLength = 1000\n[model]\ndModel = 64\nlayers = ["gla", "lightning"]\n';

test('plan: mesh, slices, memory and modelled strategies, from shapes alone', () => {
  writeFileSync(join(folder, 'text.txt'), 'x'.repeat(2000));
  writeFileSync(join(folder, 'job.toml'), job);
  const { status, stdout, stderr } = longscan(
    'plan',
    'job.toml',
    '--set',
    'parallel.sp=2',
    '--json',
    '--print',
  );
  assert.is(stderr, '');
  assert.is(status, 0);
  const plan = JSON.parse(stdout);
  assert.equal(plan.mesh, { sp: 2, dp: 1, numRanks: 2 });
  assert.equal(plan.slices, [
    { start: 0, length: 512, numTokens: 512 },
    { start: 512, length: 512, numTokens: 488 },
  ]);
  assert.equal(plan.modelled.map((row: { strategy: string }) => row.strategy).sort(), [
    'all-gather',
    'all-scan',
    'doubling-scan',
    'ring',
    'two-level',
  ]);
  assert.is(plan.strategy, plan.modelled[0].strategy);
  assert.ok(plan.perRank.numParameters > 256 * 64);
  assert.ok(plan.perRank.peakBytes > plan.perRank.activationBytes);
  assert.equal(
    plan.request.ranks.map((rank: { env: Record<string, string> }) => rank.env.RANK),
    ['0', '1'],
  );
  const text = longscan('plan', 'job.toml', '--set', 'parallel.sp=2', '--print').stdout;
  assert.match(text, /^sequence +1024 tokens in 2 slices of 512$/m);
  assert.match(text, /^localhost: RANK=1 LOCAL_RANK=1 WORLD_SIZE=2 /m);
});

test('plan of a job with a layer file of its own', () => {
  const { status, stderr, stdout } = longscan('plan', 'job.toml', '--set', 'model.layers="mine/my-layer.ts"');
  assert.is(stderr, '');
  assert.is(status, 0);
  assert.match(stdout, '4 x mine/my-layer.ts, width 64');
  writeFileSync(join(folder, 'bad.ts'), 'export default 3 +;\n');
  const bad = longscan('plan', 'job.toml', '--set', 'model.layers="./bad.ts"');
  assert.is(bad.status, 2);
  assert.match(bad.stderr, /^error\[E-PLUGIN\] .*bad\.ts:1:19: Unexpected ";"/);
});

test('what is wrong with a job is listed as a whole, and the exit code says whose fault it is', () => {
  const wrong = longscan('plan', 'job.toml', '--set', 'job.steps=0', '--set', 'model.layers=glaa');
  assert.is(wrong.status, 2);
  assert.is(
    wrong.stderr,
    `error[E-CFG-RANGE] --set job.steps: 0, expected an integer >= 1. Fix: set job.steps to such a value\nerror[E-REG] --set model.layers: unknown layer "glaa", expected one of ${listUnits('layers').join(', ')}, or a path. Fix: did you mean gla?\n`,
  );
  const short = longscan('plan', 'job.toml', '--set', 'data.sequenceLength=1900');
  assert.is(short.status, 4);
  assert.match(short.stderr, /^error\[E-DATA-EMPTY\] data\.path /);
  assert.is(longscan('plan', 'nothing.toml').status, 2);
});

test('ckpt verify of what is no checkpoint: exit code 4', () => {
  const { status, stderr } = longscan('ckpt', 'verify', './nothing');
  assert.is(status, 4);
  assert.match(stderr, /^error\[E-CKPT-NONE\] \.\/nothing: /);
  writeFileSync(join(folder, 'model.pt'), '');
  assert.is(longscan('ckpt', 'verify', './model.pt').status, 7, 'pickles are a matter of security');
});

test.run();
