import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stepParts } from '@longscan/worker/protocol';
import { exposedMsOf, readTraceFile } from '@longscan/worker/testing/trace';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { computeFileSchema } from '../compute/compute-file.js';
import { loadCompute } from '../compute/load-compute.js';
import { planJob } from '../plan/index.js';
import { loadJob } from '../spec/index.js';
import type { StepRow } from '../step-row.js';
import { expectRefusals } from '../testing/expect-refusals.js';

const bin = fileURLToPath(new URL('../../bin/longscan.js', import.meta.url));

function bench(args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, 'bench', 'step', ...args], {
    encoding: 'utf8',
    timeout: 300_000,
  });
  return { status, stdout, stderr };
}

const small = [
  'model.dModel=32',
  'model.numLayers=2',
  'data.sequenceLength=100',
  'model.chunk=16',
  'model.vocabSize=1000',
];
const sets = (keys: readonly string[]) => keys.flatMap((key) => ['--set', key]);
/** What a plan is made for here, where neither GPU nor bf16 matters. */
const onCpu = ['device.kind=cpu', 'model.precision=f32'];
const few = ['--steps', '4', '--warmup', '1'];

for (const sp of [1, 2]) {
  test(`bench step --json on ${sp} rank(s): one row with times, work, memory and shares; no text is read`, () => {
    const { status, stdout, stderr } = bench(['--json', ...sets([...small, `parallel.sp=${sp}`]), ...few]);
    assert.is(status, 0, stderr);
    const rows = JSON.parse(stdout) as StepRow[];
    assert.is(rows.length, 1);
    const row = rows[0]!;
    assert.is(row.numSteps, 4);
    assert.equal(row.mesh, { sp, dp: 1, numRanks: sp });
    assert.ok(row.lowMs > 0 && row.lowMs <= row.medianMs && row.medianMs <= row.highMs);
    assert.ok(Math.abs(row.tokensPerSecond / ((100 * 1000) / row.medianMs) - 1) < 1e-9);
    assert.is(row.flopsByParameters, 6 * row.numParameters * 100);
    // A forward and a backward pass, with neither more nor fewer products than the parameters have.
    assert.ok(row.flopsByModel > 0.5 * row.flopsByParameters && row.flopsByModel < 2 * row.flopsByParameters);
    assert.is(row.peakFlops, null);
    assert.is(row.mfuByModel, null);
    // Parameters, gradients and two moments.
    assert.ok(row.peakBytes > 16 * row.numParameters && row.reservedBytes >= row.peakBytes);
    // What tells nothing of what follows costs the logarithm of the vocabulary's size, less what few steps learn by heart.
    assert.ok(row.loss > 4 && row.loss < 8, `${row.loss}`);
    const sum = stepParts.reduce((total, part) => total + row.shares[part], 0);
    assert.ok(Math.abs(sum - 1) < 1e-9);
    for (const part of ['gemm', 'recurrence', 'pointwise', 'loss', 'optimizer'] as const)
      assert.ok(row.shares[part] > 0, part);
    assert.is(row.shares.other, 0);
    // With two ranks the other one may always have been first.
    if (sp === 1) assert.is(row.shares.communication, 0);
    assert.is(row.spBytesSent > 0, sp > 1);
    const loss = row.ops.find(({ name }) => name === 'crossEntropyForward');
    assert.is(loss?.count, 1);
    // At least the head and its gradient, a row for each of 1,000 tokens.
    assert.ok(loss!.bytes > 2 * 4 * 1000);
  });
}

test('bench step: the same for people', () => {
  const { status, stdout, stderr } = bench([...sets([...small, 'model.recompute=true']), ...few]);
  assert.is(status, 0, stderr);
  assert.match(
    stdout,
    /^defaults: 2 layers, .* parameters, f32, recomputing blocks; 1 x 100 tokens a step\n/,
  );
  for (const line of [
    /^step {2,}.* ms \(5 – 95 %: .*\), 4 steps after 1$/m,
    /^MFU, 6 N T .*not known for this device/m,
  ])
    assert.match(stdout, line);
  assert.match(stdout, /^products \(GEMM\) .* %$/m);
  assert.match(stdout, /^ +calls +ms +share +tensors +at least$/m);
  assert.match(stdout, /^linearForward +\d+ x .* % .*B +.*B\/s$/m);
});

test('bench step: time slices are named, and do not count as work of the model', () => {
  const rowOf = (timeSlice: number) => {
    const { status, stdout, stderr } = bench([
      ...sets([...small, `model.timeSlice=${timeSlice}`]),
      ...few,
      '--json',
    ]);
    assert.is(status, 0, stderr);
    return (JSON.parse(stdout) as StepRow[])[0]!;
  };
  const [sliced, whole] = [rowOf(32), rowOf(0)];
  assert.is(sliced.timeSlice, 32);
  assert.is(sliced.flopsByModel, whole.flopsByModel);
  assert.ok(sliced.peakBytes < whole.peakBytes);
  const kept = ['model.timeSlice=32', 'model.keptMlps=1'];
  const cheap = ['model.recompute=cheap', 'model.recomputedBlocks=1'];
  const { stdout } = bench([...sets([...small, ...kept, ...cheap]), ...few]);
  assert.match(
    stdout,
    /, f32, recomputing norms and activations \(blocks: 1\), in time slices of 32 \(MLPs kept: 1\); 1 x 100 tokens a step\n/,
  );
});

test('bench step --trace: a file a rank and all of them in one, as of a training run; the same exposed communication', () => {
  const folder = mkdtempSync(join(tmpdir(), 'longscan-traced-'));
  try {
    const out = join(folder, 'traced');
    const traced = (sp: number) =>
      bench(['--json', ...sets([...small, `parallel.sp=${sp}`]), ...few, '--trace=1-3', '--out', out]);
    const { status, stdout, stderr } = traced(2);
    assert.is(status, 0, stderr);
    assert.match(stderr, /^the traces of ranks 0, 1 are in .*traced\/trace\.json: open it in Perfetto$/m);
    const trace = readTraceFile(join(out, 'trace.json'));
    assert.equal([...new Set(trace.spans.map(({ step }) => step))].sort(), [1, 2, 3]);
    for (const name of ['enqueue', 'forward', 'backward', 'reduce', 'update'])
      assert.ok(
        trace.spans.some((span) => span.name === name),
        name,
      );
    const [row] = JSON.parse(stdout) as [StepRow];
    // The second step is the first of those that are timed.
    for (const step of [2, 3]) {
      for (const [group, exposedMs] of [
        ['sp', row.spExposedMs],
        ['world', row.gradientExposedMs],
      ] as const) {
        const sums = [0, 1].map((rank) => exposedMsOf(trace, rank, step, group));
        const reported = exposedMs[step - 2]!;
        assert.ok(Math.abs(Math.max(...sums) - reported) < 1e-4, `step ${step}: ${sums} and ${reported}`);
      }
    }
    assert.is(traced(1).status, 0);
    assert.equal(readdirSync(join(out, 'traces')), ['rank-0.json'], 'none of an earlier one');
    assert.equal(readdirSync(out).sort(), ['trace.json', 'traces']);
    writeFileSync(join(out, 'plan.json'), '{}');
    const refused = traced(1);
    assert.is(refused.status, 2);
    assert.match(refused.stderr, /E-CLI-USAGE\] --out: .*, the folder of a run, expected another one/);
    assert.ok(existsSync(join(out, 'traces')));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('bench step --save: what ops cost, in a file that can be loaded', () => {
  const folder = mkdtempSync(join(tmpdir(), 'longscan-costs-'));
  try {
    const path = join(folder, 'compute.json');
    const shapes = [...small, 'model.dModel=64'];
    const { status, stdout, stderr } = bench(['--json', ...sets(shapes), ...few, '--save', path]);
    assert.is(status, 0, stderr);
    const file = computeFileSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
    assert.equal(JSON.parse(stdout), file);
    assert.equal(
      file.measured!.shapes.map(({ T, dModel }) => [T, dModel]),
      [
        [16, 64],
        [32, 64],
        [48, 64],
        [96, 64],
        [48, 32],
      ],
    );
    assert.is(file.measured!.threads, 1);
    assert.is(file.slowdown.length, availableParallelism());
    assert.ok(file.enqueueS! > 0, 'building and enqueueing takes the host time');
    for (const name of ['linearForward', 'gatedLinearSweep', 'rmsNormBackward', 'adamwUpdate'])
      assert.ok(
        Object.values(file.ops[name]!).some((value) => value > 0),
        name,
      );
    assert.equal(loadCompute(path).notes, []);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("examples/bench: as many parameters as the peer's models have", async () => {
  for (const [name, numParameters] of [
    ['linear', 1_364_300_800],
    ['gla', 1_365_514_240],
  ] as const) {
    const job = fileURLToPath(new URL(`../../../../examples/bench/${name}-1.3b.toml`, import.meta.url));
    const { jobSpec } = await loadJob(job, { overrides: onCpu, readsText: false });
    const { perRank } = await planJob(jobSpec);
    assert.is(perRank.numParameters, numParameters, name);
  }
});

test('bench step: what is wrong with a job, or with the words', async () => {
  const cases = [
    [['/nowhere/job.toml'], /error\[E-[A-Z-]+\] \/nowhere\/job\.toml/],
    [['--set', 'model.dModle=32'], /model\.dModle.*dModel/s],
    [['--set', 'model.dModel=33'], /error\[E-/],
    [['--steps', 'many'], /--steps "many" where a whole number >= 0/],
    [['--device', 'tpu'], /E-CLI-USAGE/],
    [['--trace=0-2'], /--trace: "0-2", expected FIRST-LAST or a step, counted from 1\. Fix: --trace=2-35/],
    [['--trace=3-2'], /--trace: "3-2", expected the first step in front of the last\. Fix: --trace=2-3/],
    [['--trace', ...few], /--trace: "5-10", expected steps that are made: 5, .*\. Fix: --trace=2-5/],
    [['--trace=1-1001', '--steps', '2000'], /at most 1000 steps/],
    [['--trace', '--save', 'costs.json'], /--trace: it with --save/],
    [['--out', 'folder'], /--out: it without --trace/],
    [['--save', 'costs.txt'], /E-CLI-USAGE.*costs\.txt/],
    [['--save', '/nowhere/costs.json'], /E-CLI-USAGE.*\/nowhere\/costs\.json in no folder/],
  ] as const;
  await expectRefusals(cases.map(([args, expected]) => [['bench', 'step', ...args], expected]));
});

test.run();
