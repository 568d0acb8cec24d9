import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { RecurrenceRow } from '../recurrence-rows.js';
import { expectRefusals } from '../testing/expect-refusals.js';

const bin = fileURLToPath(new URL('../../bin/longscan.js', import.meta.url));

function bench(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, 'bench', 'recurrences', ...args], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 300_000,
  });
  return { status, stdout, stderr };
}

const small = ['--op', 'simple-gla', '--shape', 'T=300,H=1,K=8,V=8', '--rounds', '3'];

test('bench recurrences --json on 3 ranks: an array of rows, slices alone before each strategy', () => {
  const strategies = ['--strategy', 'ring', '--strategy', 'all-gather'];
  const { status, stdout, stderr } = bench(['--json', '--sp', '3', ...small, ...strategies]);
  assert.is(status, 0, stderr);
  const rows = JSON.parse(stdout) as RecurrenceRow[];
  assert.equal(
    rows.map(({ op, T, pass, strategy, numRanks }) => [op, T, pass, strategy, numRanks]),
    ['forward', 'both'].flatMap((pass) =>
      [null, 'ring', 'all-gather'].map((strategy) => ['simple-gla', 300, pass, strategy, 3]),
    ),
  );
  const state = 4 * 8 * 8;
  for (const row of rows) {
    assert.ok(row.lowMs > 0 && row.lowMs <= row.medianMs && row.medianMs <= row.highMs);
    assert.is(row.numRounds, 3);
    const alone = rows.find(({ pass, strategy }) => pass === row.pass && strategy === null)!;
    assert.is(row.aloneMs, alone.medianMs);
    assert.is((row.machine as { device: string }).device, 'cpu');
    // Along a chain of three ranks two states go each way.
    if (row.strategy === 'ring') assert.is(row.bytesSent, (row.pass === 'both' ? 4 : 2) * state);
    assert.is(row.bytesSent > 0, row.strategy !== null);
  }
});

test('bench recurrences: the same for people, on the ranks of a job', () => {
  const job = fileURLToPath(new URL('../../../../examples/moby-dick/job.toml', import.meta.url));
  const { status, stdout, stderr } = bench([
    job,
    '--set',
    'parallel.sp=2',
    ...small,
    '--strategy',
    'all-scan',
  ]);
  assert.is(status, 0, stderr);
  assert.match(
    stdout,
    /^2 ranks; CPU \(.*\), \d+ threads a rank\n\nrecurrence +T +pass +states cross by +ms /,
  );
  assert.match(
    stdout,
    /^simple-gla +300 +forward +– \(slices alone\) +[\d.]+ +[\d.]+ – [\d.]+ +[\d.]+ [KM]iB$/m,
  );
  assert.match(
    stdout,
    /^simple-gla +300 +forward \+ backward +all-scan, 8 blocks .* ms = -?[\d.]+ % +512 B +[\d.]+ [KM]iB$/m,
  );
});

test('bench recurrences: wrong words are told what is right', async () => {
  const cases = [
    [['--op', 'short-convolution'], /--op short-convolution: no recurrence of this name, expected one of /],
    [['--op', 'kdaa'], /--op kdaa: no recurrence of this name, .* Fix: did you mean kda\?/],
    [
      ['--strategy', 'rings'],
      /--strategy rings: no strategy of this name, expected one of all-gather, .* Fix: did you mean ring\?/,
    ],
    [['--shape', 'T=301'], /--shape T=301: T=301, tokens of 2 ranks, expected as many for each\. Fix: T=302/],
    [['--rounds', '0'], /--rounds: 0, expected at least one round/],
    [['--sp', '1'], /--sp: one rank, which has no links, expected two or more/],
    [['--dtype', 'bf16'], /--dtype bf16: .*expected f32 with --device cpu/],
    [['--set', 'parallel.spp=2'], /E-CFG-KEY.*parallel\.spp/],
  ] as const;
  await expectRefusals(cases.map(([args, expected]) => [['bench', 'recurrences', ...args], expected]));
});

test('bench recurrences: exit code 3 where nothing could be measured, with the reason in the place of rows', () => {
  const huge = ['--op', 'simple-gla', '--shape', 'T=900000000,H=800', '--rounds', '1'];
  const none = bench(huge);
  assert.is(none.status, 3, none.stderr);
  assert.match(
    none.stdout,
    /^simple-gla, T = 900000000: error\[E-MEMORY\] .* Fix: a smaller T in --shape, or more ranks$/m,
  );
});

test('bench recurrences: a strategy that a recurrence cannot have is told; usual lengths fit any number of ranks', () => {
  const { status, stdout, stderr } = bench([
    ...['--sp', '3', '--op', 'slstm', '--strategy', 'all-scan', '--rounds', '1', '--json'],
  ]);
  assert.is(status, 0, stderr);
  const rows = JSON.parse(stdout) as Record<string, unknown>[];
  assert.equal(
    rows.map(({ T, strategy, pass }) => [T, strategy, pass]),
    [
      [2049, null, 'forward'],
      [2049, null, 'both'],
      [2049, 'all-scan', undefined],
    ],
  );
  assert.match(rows[2]!.missing as string, /^error\[E-STRATEGY\] recurrence slstm under all-scan: /);
});

test('bench recurrences --device cuda without a driver: the reason, and exit code 3', () => {
  const { status, stderr } = bench(['--device', 'cuda', ...small], {
    LONGSCAN_CUDA_DRIVER: '/nowhere/libcuda.so.1',
  });
  assert.is(status, 3);
  assert.match(stderr, /error\[E-CUDA-DRIVER\]/);
});

test.run();
