import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { neededBytes } from '@longscan/worker';
import { LongscanError, type Plan } from '@longscan/worker/protocol';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { planJob } from '../plan/index.js';
import { markersOf } from '../plots/testing/read-svg.js';
import { acquireRunFolder, ownRecord } from '../run-folder/coordinator-record.js';
import { loadJob } from '../spec/index.js';
import { probedFile } from '../testing/probed-file.js';
import { readScaling } from './scaling-file.js';
import { scalingRows } from './summary.js';
import { ScaleBench, tinyJob } from './testing.js';

const test = suite<{ bench: ScaleBench }>('scale');
test.before.each((context) => {
  context.bench = new ScaleBench();
});
test.after.each(({ bench }) => bench.remove());

async function refusal(promise: Promise<unknown>): Promise<LongscanError> {
  const error = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.instance(error, LongscanError);
  return error as LongscanError;
}

test('a curve ~> one launch of every point before the next of any; scaling.json is whole after each', async ({
  bench,
}) => {
  const known: number[] = [];
  const { scaling, files } = await bench.run({
    repeats: 2,
    onProgress: () =>
      known.push(readScaling(bench.out)?.points.flatMap(({ launches }) => launches).length ?? 0),
  });
  assert.equal(bench.launches, ['256:1', '256:2', '256:1', '256:2']);
  assert.equal(known, [0, 1, 2, 3, 4]);
  assert.equal(readScaling(bench.out), JSON.parse(JSON.stringify(scaling)));
  for (const file of files) assert.ok(existsSync(file), file);
  const names = files.map((file) => file.slice(bench.out.length + 1));
  assert.equal(names.slice(0, 3), ['report.html', 'scaling.svg', 'scaling-throughput.svg']);
});

test('the same command again ~> nothing; more sizes, lengths or launches ~> only those', async ({
  bench,
}) => {
  await bench.run();
  bench.launches.length = 0;
  await bench.run();
  assert.equal(bench.launches, []);
  await bench.run({ sps: [1, 2, 4] });
  assert.equal(bench.launches.splice(0), ['256:4']);
  await bench.run({ lengths: [256, 512] });
  assert.equal(bench.launches.splice(0), ['512:1', '512:2']);
  await bench.run({ repeats: 2 });
  assert.equal(bench.launches.splice(0), ['256:1', '256:2']);
  await bench.run({ again: true, sps: [2] });
  assert.equal(bench.launches.splice(0), ['256:2']);
  assert.equal(
    readScaling(bench.out)!
      .points.map(({ length, sp, launches }) => [length, sp, launches.length])
      .sort(),
    [
      [256, 1, 2],
      [256, 2, 1],
      [256, 4, 1],
      [512, 1, 1],
      [512, 2, 1],
    ],
  );
});

test('a point that fails ~> kept with its error, no further launches, the others go on; tried again by the next command', async ({
  bench,
}) => {
  bench.failing.add('256:2');
  const failures: string[] = [];
  const { scaling } = await bench.run({
    ...{ sps: [1, 2, 4], repeats: 2 },
    onFailure: ({ sp }, { code }) => failures.push(`${sp} ${code}`),
  });
  assert.equal(bench.launches.splice(0), ['256:1', '256:2', '256:4', '256:1', '256:4']);
  assert.equal(failures, ['2 E-RANK-DIED']);
  const row = scalingRows(scaling)[1]!;
  assert.is(row.measured, null);
  assert.equal(row.error, { code: 'E-RANK-DIED', message: 'error[E-RANK-DIED] rank 0: killed', exitCode: 8 });
  assert.match(readFileSync(join(bench.out, 'scaling.svg'), 'utf8'), />failed</);
  assert.match(readFileSync(join(bench.out, 'report.html'), 'utf8'), /error\[E-RANK-DIED\] rank 0: killed/);

  bench.failing.clear();
  const again = await bench.run({ sps: [1, 2, 4], repeats: 2 });
  assert.equal(bench.launches, ['256:2', '256:2']);
  assert.ok(again.scaling.points.every(({ error }) => error === null));
});

test('a point whose ranks cannot have the memory ~> kept with why and with settings that fit, no launch; the others go on', async ({
  bench,
}) => {
  const need = async (sp: number) => {
    const overrides = [`parallel.sp=${sp}`, 'data.sequenceLength=65536'];
    return neededBytes(await planJob((await loadJob(bench.job, { overrides, readsText: false })).jobSpec));
  };
  // Less than what one rank needs that makes cheap outputs again: three settings are told, and two ranks are to be among them.
  const memory = Math.floor(((await need(1)) + 2 * (await need(2))) / 3);
  const failures: string[] = [];
  const { scaling, files } = await bench.run({
    ...{ sps: [1, 2], lengths: [65_536], overrides: [`device.memory=${memory}B`] },
    onFailure: ({ sp }, { code }) => failures.push(`${sp} ${code}`),
  });
  assert.equal(bench.launches.splice(0), ['65536:2']);
  assert.equal(failures, ['1 E-PLAN-MEMORY']);
  const [first, second] = scalingRows(scaling);
  assert.is(first!.measured, null);
  assert.is(first!.error!.exitCode, 2);
  assert.match(first!.error!.message, /the rank needs .* MiB.* Fix: .*parallel\.sp = 2 on 2 ranks/s);
  assert.is(second!.error, null);
  assert.match(readFileSync(files[0]!, 'utf8'), /E-PLAN-MEMORY/);
  assert.match(readFileSync(files[1]!, 'utf8'), />failed</);
});

test('links that are to be probed ~> once for each number of ranks, kept for who goes on; what fails there fails alone', async ({
  bench,
}) => {
  const probes: number[] = [];
  const probeWith = () => async (plan: Plan) => {
    const { numRanks } = plan.mesh;
    probes.push(numRanks);
    if (numRanks === 4) {
      throw new LongscanError({ code: 'E-RANK-DIED', where: 'rank 1', found: 'killed', exitCode: 8 });
    }
    return probedFile(numRanks);
  };
  const curve = { sps: [1, 2, 4], lengths: [256, 512], overrides: ['parallel.fabric=probe'], probeWith };
  const { scaling } = await bench.run(curve);
  assert.equal(probes.splice(0), [2, 4, 4]);
  assert.equal(bench.launches.splice(0), ['256:1', '256:2', '512:1', '512:2']);
  assert.equal(
    scalingRows(scaling).map(({ sp, error }) => [sp, error?.code]),
    [1, 2, 4, 1, 2, 4].map((sp) => [sp, sp === 4 ? 'E-RANK-DIED' : undefined]),
  );
  await bench.run({ ...curve, sps: [2], repeats: 2 });
  assert.equal(probes.splice(0), []);
  await bench.run({ ...curve, sps: [2], again: true });
  assert.equal(probes, [2]);
  assert.match(bench.notes.join('\n'), /probing the links between 2 ranks/);
});

/** What a probe on this machine would find. */
test('simulated steps ~> hollow beside the measured ones, known to who asks again without', async ({
  bench,
}) => {
  const simulate = async ({ mesh }: { readonly mesh: { readonly sp: number } }) => ({
    ...{ stepMs: 90 / mesh.sp, spExposedMs: mesh.sp - 1, fabric: 'loopback', compute: 'made up' },
  });
  const drawn = () => readFileSync(join(bench.out, 'scaling-throughput.svg'), 'utf8');
  await bench.run();
  assert.not.match(drawn(), /modelled/);
  await bench.run({ simulate });
  assert.equal(bench.launches, ['256:1', '256:2']);
  const { scaling } = await bench.run();
  assert.is(scalingRows(scaling)[1]!.predicted!.stepMs, 45);
  assert.equal(
    markersOf(drawn()).map(({ series, fill }) => [series, fill === 'none']),
    [
      ['256 tokens', false],
      ['256 tokens', false],
      ['256 tokens, modelled', true],
      ['256 tokens, modelled', true],
    ],
  );
  assert.match(
    readFileSync(join(bench.out, 'report.html'), 'utf8'),
    /simulated with<\/td><td>made up; loopback/,
  );
});

test('interrupted ~> what was measured is there, and no point counts as failed', async ({ bench }) => {
  const interrupted = new LongscanError({
    code: 'E-RUN-KILLED',
    where: 'bench-step',
    found: 'ended',
    exitCode: 130,
  });
  const error = await refusal(
    bench.run({
      measureWith: () => (point) => (point.sp === 2 ? Promise.reject(interrupted) : bench.measure(point)),
    }),
  );
  assert.is(error.exitCode, 130);
  await bench.run();
  assert.equal(bench.launches, ['256:1', '256:2']);
});

test('another mode, job or measurement in the same folder ~> refused with every difference, nothing is launched', async ({
  bench,
}) => {
  await bench.run();
  bench.launches.length = 0;
  const error = await refusal(bench.run({ mode: 'weak', numSteps: 3, overrides: ['model.dModel=32'] }));
  assert.is(error.code, 'E-SCALE-MIXED');
  assert.is(error.exitCode, 2);
  for (const difference of [
    'mode was strong and is weak',
    'numSteps was 2 and is 3',
    'model.dModel was 16 and is 32',
  ])
    assert.ok(error.message.includes(difference), error.message);
  assert.equal(bench.launches, []);
});

test('another machine ~> refused; a file that is none of ours ~> said', async ({ bench }) => {
  await bench.run();
  const path = join(bench.out, 'scaling.json');
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace(/"cpu": ".*"/, '"cpu": "an abacus"'));
  assert.match((await refusal(bench.run())).message, /E-SCALE-MIXED.*machine\.cpu was an abacus/);
  writeFileSync(path, text.replace('"schema": 1', '"schema": 2'));
  assert.match((await refusal(bench.run())).message, /E-SCALE-FILE.*scaling\.json: schema: /);
  writeFileSync(path, text.slice(0, 100));
  assert.is((await refusal(bench.run())).exitCode, 4);
});

test('a folder that another process measures into ~> E-LOCK', async ({ bench }) => {
  await bench.run();
  acquireRunFolder(bench.out, ownRecord('scale'));
  const error = await refusal(bench.run());
  assert.is(error.code, 'E-LOCK');
  assert.match(error.message, /--out/);
});

test('sizes that cannot be ~> all told before anything is launched or written', async ({ bench }) => {
  const error = await refusal(bench.run({ sps: [1, 32, 64], overrides: ['data.batchSize=2'] }));
  assert.is(error.exitCode, 2);
  for (const point of ['sp = 32, 256 tokens', 'sp = 64, 256 tokens'])
    assert.ok(error.message.includes(point));
  assert.not.match(error.message, /sp = 1,/);
  assert.equal(bench.launches, []);
  assert.not.ok(existsSync(bench.out));
});

test('threads ~> the same at every sp, fewer than the cores where the largest sp needs them; sharing is said', async ({
  bench,
}) => {
  writeFileSync(bench.job, tinyJob.replace('threads = 1', 'threads = "auto"'));
  const { scaling } = await bench.run({ sps: [1, 128], lengths: [2048] });
  assert.is(scaling.job.spec.device.threads, 1);
  assert.match(bench.notes.join('\n'), /1 thread at every sp[\s\S]*sp = 128 the ranks share/);
});

test('a sequence that sp does not divide ~> padded, which is said and not counted as work', async ({
  bench,
}) => {
  const { scaling } = await bench.run({ sps: [1, 3] });
  assert.match(bench.notes.join('\n'), /sp = 3 does not divide 256 tokens into whole chunks: padded by 32/);
  const { measured } = scalingRows(scaling)[1]!;
  assert.is(Math.round(measured!.tokensPerSecond.high), Math.round((2 * 256 * 3000) / 100));
});

test.run();
