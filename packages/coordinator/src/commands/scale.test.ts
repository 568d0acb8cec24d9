import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ScalingRow } from '../scaling/summary.js';
import { tinyJob } from '../scaling/testing.js';
import { expectRefusals } from '../testing/expect-refusals.js';

const bin = fileURLToPath(new URL('../../bin/longscan.js', import.meta.url));
const few = ['--steps', '2', '--warmup', '1', '--repeats', '1'];

const test = suite<{ dir: string; job: string; out: string }>('longscan scale');
test.before.each((context) => {
  context.dir = mkdtempSync(join(tmpdir(), 'longscan-scale-'));
  context.job = join(context.dir, 'job.toml');
  context.out = join(context.dir, 'out');
  writeFileSync(context.job, tinyJob);
});
test.after.each(({ dir }) => rmSync(dir, { recursive: true, force: true }));

function scale(args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, 'scale', ...args], {
    encoding: 'utf8',
    timeout: 300_000,
  });
  return { status, stdout, stderr };
}

const rowsOf = (stdout: string) =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as ScalingRow);

test('real ranks ~> a row for each point, a curve that is not measured twice, charts and a page', ({
  job,
  out,
}) => {
  const args = [job, '--sp', '1,2', '--mode', 'weak', '--out', out, '--json', ...few];
  const first = scale(args);
  assert.is(first.status, 0, first.stderr);
  const rows = rowsOf(first.stdout);
  assert.equal(
    rows.map(({ length, sp, sequenceLength }) => [length, sp, sequenceLength]),
    [
      [256, 1, 256],
      [256, 2, 512],
    ],
  );
  const [one, two] = rows.map(({ measured }) => measured!);
  assert.is(one!.spBytesSent, 0);
  assert.is(one!.spExposedMs!.high, 0);
  assert.ok(two!.spBytesSent > 0);
  assert.ok(two!.spExposedMs!.high > 0 && two!.spExposedMs!.high <= two!.stepMs.high);
  assert.is(two!.peakBytesByRank.length, 2);
  assert.ok(two!.loss > 0);
  assert.match(first.stderr, /^\[2\/2\] sp 2, 2 x 512 tokens, launch 1 of 1$/m);
  assert.ok(existsSync(join(out, 'scaling-exposed-communication.svg')));
  const page = readFileSync(join(out, 'report.html'), 'utf8');
  assert.is([...page.matchAll(/<svg /g)].length, 4);
  assert.match(page, /Sequence-weak: /);

  const second = scale(args);
  assert.is(second.status, 0, second.stderr);
  assert.not.match(second.stderr, /launch 1/);
  assert.equal(rowsOf(second.stdout), rows);
});

test("a point whose ranks cannot run ~> marked, and its exit code is the command's", ({ job, out }) => {
  const env = { LONGSCAN_GEMM: 'nonsense' };
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [bin, 'scale', job, '--sp', '1', '--mode', 'strong', '--out', out, '--json', ...few],
    { encoding: 'utf8', timeout: 300_000, env: { ...process.env, ...env } },
  );
  const [row] = rowsOf(stdout);
  assert.is(row!.measured, null, stdout);
  assert.is(status, row!.error!.exitCode, stderr);
  assert.match(stderr, /the others go on: error\[/);
});

test('what is wrong with the words ~> all of it, nothing is started or written', async ({ job, out }) => {
  const common = [job, '--out', out];
  const cases = [
    [
      ['--mode', 'strong', '--sp', '1,2,x,2,0.5'],
      /"x" is no whole number >= 1; "0\.5" is no .*; 2 is there more than once/,
    ],
    [['--mode', 'strong', '--sp', ''], /--sp "": "" is no whole number/],
    [['--mode', 'strong'], /sp/],
    [['--mode', 'sideways', '--sp', '1'], /sideways/],
    [
      ['--mode', 'strong', '--sp', '1,32', '--lengths', '256,128'],
      /sp = 32, 128 tokens[\s\S]*sp = 32, 256 tokens/,
    ],
    [['--mode', 'strong', '--sp', '1', '--steps', '0', '--repeats', '0'], /--steps 0: .*; --repeats 0: /],
    [['--mode', 'strong', '--sp', '1', '--set', 'parallel.sp=2'], /--sp says that/],
    [['--mode', 'strong', '--sp', '1', '--set', 'model.dModle=2'], /dModel/],
  ] as const;
  await expectRefusals(cases.map(([args, expected]) => [['scale', ...common, ...args], expected]));
  assert.not.ok(existsSync(out));
});

test('links that are to be probed, memory that is too small ~> measured and refused by real ranks and plans', ({
  job,
  out,
}) => {
  const sets = ['--set', 'parallel.fabric=probe', '--set', 'device.memory=100MiB'];
  const refused = scale([job, '--sp', '1,2', '--mode', 'strong', '--out', out, ...sets, '--json', ...few]);
  assert.is(refused.status, 2, refused.stderr);
  for (const { measured, error } of rowsOf(refused.stdout)) {
    assert.is(measured, null);
    assert.is(error!.code, 'E-PLAN-MEMORY');
  }
  assert.not.match(refused.stderr, /probing/, 'no rank is started for what cannot fit');
  const other = `${out}-probed`;
  const args = [job, '--sp', '2', '--mode', 'strong', '--out', other, ...sets.slice(0, 2), '--json', ...few];
  const probed = scale(args);
  assert.is(probed.status, 0, probed.stderr);
  assert.match(probed.stderr, /^probing the links between 2 ranks$/m);
  assert.ok(existsSync(join(other, 'fabric-2-ranks.json')));
  assert.ok(rowsOf(probed.stdout)[0]!.measured!.stepMs.median > 0);
});

test.run();
