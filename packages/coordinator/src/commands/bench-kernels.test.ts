import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { expectRefusals } from '../testing/expect-refusals.js';

const bin = fileURLToPath(new URL('../../bin/longscan.js', import.meta.url));

function bench(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, 'bench', 'kernels', ...args], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 300_000,
  });
  return { status, stdout, stderr };
}

const small = ['--op', 'simple-gla', '--shape', 'T=100,H=1,K=8,V=8', '--rounds', '2'];

test('bench kernels --json: an array of rows, each with the machine it was taken on', () => {
  const { status, stdout, stderr } = bench(['--json', ...small]);
  assert.is(status, 0, stderr);
  const rows = JSON.parse(stdout) as Record<string, unknown>[];
  assert.equal(
    rows.map(({ op, T, pass }) => [op, T, pass]),
    [
      ['simple-gla', 100, 'forward'],
      ['simple-gla', 100, 'both'],
    ],
  );
  for (const { machine, ceilings } of rows) {
    assert.is((machine as { device: string }).device, 'cpu');
    assert.ok((ceilings as { bytesPerSecond: number }).bytesPerSecond > 0);
  }
});

test('bench kernels: wrong words are told what is right', async () => {
  const cases = [
    [
      ['--op', 'glaa'],
      /--op glaa: no op of this name, expected one of linear-attention, .*token-shift\. Fix: did you mean gla\?/,
    ],
    [['--shape', 'T=0'], /--shape T=0: "T=0", expected B, T, H, K, V = a size/],
    [['--shape', 'T=64,Q=3'], /"Q=3"/],
    [['--shape', 'B=90000,T=900000000'], /tensors of \d+ numbers, expected at most 100000000000000/],
    [['--rounds', '0'], /--rounds: 0, expected at least one round/],
    [['--dtype', 'bf16'], /--dtype bf16: .*expected f32 with --device cpu/],
    [['--device', 'tpu'], /E-CLI-USAGE/],
    [
      ['--beside', '/nowhere/kernels.json'],
      /--beside \/nowhere\/kernels\.json: no such file, expected kernels\.json/,
    ],
    [['--beside', '/'], /--beside \/: a folder, expected kernels\.json/],
    // A program, as of bytes that no terminal should be sent.
    [['--beside', process.execPath], /--beside \S+: no JSON, expected kernels\.json/],
  ] as const;
  await expectRefusals(cases.map(([args, expected]) => [['bench', 'kernels', ...args], expected]));
});

test('bench kernels: exit code 3 where nothing could be measured, with the reason in the place of a row', () => {
  const huge = ['--shape', 'B=1,T=900000000,H=800,K=128,V=128'];
  const none = bench(['--op', 'simple-gla', ...huge, '--rounds', '2']);
  assert.is(none.status, 3, none.stderr);
  assert.match(
    none.stdout,
    /simple-gla, T = 900000000: error\[E-MEMORY\] .*out of memory: [\d.]+ GiB asked for/,
  );
  const some = bench([...small, ...huge]);
  assert.is(some.status, 0, some.stderr);
  assert.match(some.stdout, /simple-gla +100 +forward/);
  assert.match(some.stdout, /simple-gla, T = 900000000: /);
});

test('bench kernels --device cuda without a driver: the reason, and exit code 3', () => {
  const { status, stderr } = bench(['--device', 'cuda', ...small], {
    LONGSCAN_CUDA_DRIVER: '/nowhere/libcuda.so.1',
  });
  assert.is(status, 3);
  assert.match(stderr, /error\[E-CUDA-DRIVER\].*Tried: \/nowhere\/libcuda\.so\.1/);
});

test.run();
