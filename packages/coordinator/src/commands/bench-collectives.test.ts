import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PredictedRow } from '../collectives/measured.js';
import { fabricFileSchema } from '../fabric/fabric-file.js';
import { loadFabric } from '../fabric/load-fabric.js';
import { expectRefusals } from '../testing/expect-refusals.js';

const bin = fileURLToPath(new URL('../../bin/longscan.js', import.meta.url));

function bench(args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, 'bench', 'collectives', ...args], {
    encoding: 'utf8',
    timeout: 300_000,
  });
  return { status, stdout, stderr };
}

test('bench collectives --json on 3 ranks: a row a line, each of every operation and size, then the fit', () => {
  const { status, stdout, stderr } = bench(['--json', '--sp', '3', '--sizes', '8,1K', '--rounds', '1']);
  assert.is(status, 0, stderr);
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as PredictedRow & { fit?: unknown });
  const [last, ...rows] = [lines.pop()!, ...lines];
  assert.equal(Object.keys(last), ['fit']);
  for (const row of rows) {
    assert.is(row.numRanks, 3);
    assert.is(row.numSamples, 20);
    assert.is(row.numErrors, 0);
    assert.ok(row.lowS > 0 && row.lowS <= row.medianS && row.medianS <= row.highS && row.hostS > 0);
    assert.ok(Math.abs(row.algorithmBytesPerS / (row.bytes / row.medianS) - 1) < 1e-9);
    const factor =
      { 'all-gather': 2 / 3, 'reduce-scatter': 2 / 3, 'all-reduce': 4 / 3 }[row.op as string] ?? 1;
    assert.ok(Math.abs(row.busBytesPerS / (factor * row.algorithmBytesPerS) - 1) < 1e-9);
  }
  const names = rows.map(({ op, strategy, blocks, bytes }) => [op, strategy, blocks, bytes].join(' '));
  // 8 and 1024 bytes in three equal parts of whole f32 numbers.
  for (const name of [
    'send-recv   8',
    'burst   1024',
    'all-gather   12',
    'reduce-scatter   1032',
    'all-reduce   8',
  ])
    assert.ok(names.includes(name), `${name} of ${names}`);
  for (const strategy of ['ring', 'all-scan', 'all-gather', 'doubling-scan', 'two-level'])
    assert.ok(names.includes(`scan ${strategy} 1 1024`), strategy);
});

test('bench collectives --save: a table, and a fabric file of this machine that a plan takes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'longscan-links-'));
  const file = join(folder, 'links.json');
  try {
    const { status, stdout, stderr } = bench(['--save', file, '--sizes', '8,64,4M', '--rounds', '1']);
    assert.is(status, 0, stderr);
    assert.match(stdout, /^2 ranks over tcp; CPU \(.*\), \d+ threads a rank; longscan /);
    assert.match(
      stdout,
      /^operation +size +time +10 – 90 % +algbw GB\/s +busbw GB\/s +host +fit +fit \/ time +errors$/m,
    );
    assert.match(stdout, /^scan all-scan, 64 blocks +4\.0 MiB .* 0$/m);
    assert.match(stdout, /^links: latency .*, gap .*, bandwidth .* GB\/s\n {2}off by .* % on average/m);
    assert.match(stdout, /^scan ring +.* % +.* %$/m);
    assert.match(stderr, /links written to .*links\.json$/m);
    const { measured } = fabricFileSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
    assert.is(measured?.numRanks, 2);
    assert.is(measured?.fit.inside.residuals.length, 6);
    assert.equal(loadFabric(file).notes, [], 'measured here');
    assert.equal(readdirSync(folder), ['links.json']);
    const job = fileURLToPath(new URL('../../../../examples/moby-dick/job.toml', import.meta.url));
    const sets = ['parallel.sp=4', 'parallel.strategy=auto', `parallel.fabric=${file}`].flatMap((set) => [
      '--set',
      set,
    ]);
    const plan = spawnSync(process.execPath, [bin, 'plan', job, ...sets], {
      encoding: 'utf8',
      timeout: 300_000,
    });
    assert.is(plan.status, 0, plan.stderr);
    assert.match(plan.stdout, /modelled for tcp between 2 ranks on /);
    assert.not.match(plan.stdout, /another machine|assumptions/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('bench collectives: what is wrong with the words, or with the job; nothing is measured', async () => {
  const cases = [
    [['--sp', '1'], /E-CLI-USAGE\] --sp: one rank, which has no links, expected two or more\. Fix: --sp 2/],
    [['/nowhere/job.toml'], /error\[E-[A-Z-]+\] \/nowhere\/job\.toml/],
    [
      ['--sizes', '8,x,8,10'],
      /"x" is not a size from 8 to 1G in whole f32 numbers.*"10" is not.*8 is there more than once/,
    ],
    [['--sizes', '8', '--max-bytes', '64'], /--sizes: it with --min-bytes or --max-bytes/],
    [['--min-bytes', '2M', '--max-bytes', '1M'], /--min-bytes: 2097152, more than --max-bytes 1048576/],
    [['--max-bytes', '4'], /--max-bytes "4" where a size from 8 to 1G/],
    [['--max-bytes', '2G'], /--max-bytes "2G" where/],
    [['--rounds', '0'], /--rounds: 0, expected at least one/],
    [['--save', 'links.txt'], /--save: "links\.txt", expected a file that ends in \.json/],
    [['--save', '/nowhere/links.json'], /--save: \/nowhere\/links\.json in no folder/],
    [['--transition', 'dens'], /E-CLI-USAGE/],
    [['--device', 'tpu'], /E-CLI-USAGE/],
    [['--size', '8'], /did you mean --sizes/],
    [['--set', 'parallel.fabric=h20'], /unknown fabric "h20"/],
  ] as const;
  await expectRefusals(cases.map(([args, expected]) => [['bench', 'collectives', ...args], expected]));
});

test.run();
