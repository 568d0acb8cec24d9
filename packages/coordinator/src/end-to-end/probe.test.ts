import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LongscanError, planSchema } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readFabricFile } from '../fabric/read-fabric-file.js';
import type { LaunchOptions } from '../launch.js';
import { readPlan } from '../run-folder/find-run.js';
import { until } from '../testing/processes.js';
import { Workshop } from './small-job.js';

const workshop = new Workshop();
test.after(() => workshop.remove());

const bin = fileURLToPath(new URL('../../bin/longscan.js', import.meta.url));

function longscan(args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args], {
    encoding: 'utf8',
    timeout: 300_000,
    cwd: workshop.dir,
  });
  return { status, stdout, stderr };
}

const sets = (...keys: string[]) => keys.flatMap((key) => ['--set', key]);
const probed = { 'parallel.fabric': 'probe', 'parallel.sp': 2 };

/** Ranks that this process has started and that have not ended. */
function ranksUnderWay(): { pid: number; rank: number }[] {
  return readdirSync('/proc').flatMap((entry) => {
    try {
      const parent = /\) \w (\d+)/.exec(readFileSync(`/proc/${entry}/stat`, 'utf8'))?.[1];
      const rank = /(?:^|\0)RANK=(\d+)/.exec(readFileSync(`/proc/${entry}/environ`, 'utf8'))?.[1];
      if (Number(parent) !== process.pid || rank === undefined) return [];
      return [{ pid: Number(entry), rank: Number(rank) }];
    } catch {
      // No process, or one that has ended meanwhile.
      return [];
    }
  });
}

/** The error of a launch that never becomes a run. */
async function refusal(overrides: object, options: LaunchOptions = {}): Promise<LongscanError> {
  const error = await workshop.launch('refused', { ...probed, ...overrides }, options).then(
    () => assert.unreachable('it was launched') as never,
    (reason: unknown) => reason,
  );
  assert.instance(error, LongscanError);
  assert.equal(ranksUnderWay(), []);
  for (const file of ['plan.json', 'coordinator.json', 'fabric-2-ranks.json'])
    assert.not.ok(existsSync(join(workshop.dir, 'refused', file)), file);
  return error as LongscanError;
}

for (const sp of [2, 4]) {
  test(`plan --fabric probe on ${sp} ranks ~> what was found stands in the plan, with how far off it is`, () => {
    const args = ['plan', workshop.job, '--fabric', 'probe', ...sets(`parallel.sp=${sp}`)];
    const { status, stdout, stderr } = longscan([...args, '--json']);
    assert.is(status, 0, stderr);
    const { step, ...plan } = JSON.parse(stdout);
    const { fabric, notes, modelledScans } = planSchema.parse(plan);
    assert.is(fabric?.name, `tcp between ${sp} ranks, as probed`);
    assert.is(step.fabric, fabric!.name);
    for (const value of [fabric!.latencyS, fabric!.gapS, 1 / fabric!.bandwidthBytesPerS])
      assert.ok(value > 0 && value < 1, `${value}`);
    const { numRanks, meanRelativeError, worstRelativeError } = fabric!.probe!;
    assert.is(numRanks, sp);
    assert.ok(meanRelativeError > 0 && meanRelativeError <= worstRelativeError);
    assert.match(
      notes.join('\n'),
      /^the plan goes by a probe of the links .*latency .*off by .* % on average/m,
    );
    assert.match(notes.join('\n'), /was chosen: modelled for tcp between \d ranks, as probed/);
    assert.ok(modelledScans.length > 0);
  });
}

test('plan for people ~> the links; nodes that the job makes are told apart', () => {
  const keys = sets('parallel.sp=4', 'parallel.ranksPerNode=2', 'parallel.fabric=probe');
  const { status, stdout, stderr } = longscan(['plan', workshop.job, ...keys]);
  assert.is(status, 0, stderr);
  assert.match(
    stdout,
    /^links +tcp between 4 ranks, as probed: latency .*; between nodes latency .* GB\/s$/m,
  );
  assert.match(
    stdout,
    /: inside a node latency .* measured times of messages; between nodes latency .*off by/,
  );
});

test('train ~> plans by a probe that the run keeps; its resumption goes by the same', async () => {
  const overrides = { ...probed, 'job.steps': 2 };
  const { run } = await workshop.train('trained', overrides);
  const { fabric, scans } = readPlan(run.dir);
  const file = readFabricFile(join(run.dir, 'fabric-2-ranks.json'));
  assert.is(file.measured?.numRanks, 2);
  assert.is(fabric?.probe?.date, file.measured?.date);
  assert.is(fabric?.latencyS, file.link.latencyS);
  assert.match(run.plan.notes.join('\n'), /a probe of the links between 2 ranks/);

  const options = { resume: run.dir };
  await workshop.train('trained', { ...overrides, 'job.steps': 4 }, options);
  assert.equal(readPlan(run.dir).fabric, fabric);
  assert.equal(readPlan(run.dir).scans, scans);
  // Other ranks have other links.
  await workshop.train('trained', { ...overrides, 'parallel.sp': 4, 'job.steps': 5 }, options);
  assert.is(readPlan(run.dir).fabric?.probe?.numRanks, 4);
  writeFileSync(join(run.dir, 'fabric-2-ranks.json'), '{ "schema": 1, "name": 3 }');
  const error = await workshop.launch('trained', { ...overrides, 'job.steps': 6 }, options).then(
    () => assert.unreachable('it was resumed'),
    (reason: Error) => reason,
  );
  assert.match((error as Error).message, /E-FABRIC\] .*fabric-2-ranks\.json:1:\d+ name: 3/);
});

test('one rank ~> nothing to probe', async () => {
  const { run } = await workshop.train('alone', { 'parallel.fabric': 'probe', 'job.steps': 1 });
  assert.is(run.plan.fabric?.probe, undefined);
  assert.equal(
    readdirSync(run.dir).filter((name) => name.startsWith('fabric')),
    [],
  );
});

test('replicas of whole sequences ~> the links that gradients take', () => {
  const keys = sets('parallel.sp=1', 'parallel.dp=2', 'data.batchSize=2', 'parallel.fabric=probe');
  const { status, stdout, stderr } = longscan(['plan', workshop.job, ...keys, '--json']);
  assert.is(status, 0, stderr);
  assert.is(JSON.parse(stdout).fabric.probe.numRanks, 2);
});

test('bench step ~> on what was found, which is said', () => {
  const few = ['--steps', '1', '--warmup', '0'];
  const keys = sets('parallel.sp=2', 'parallel.fabric=probe');
  const { status, stdout, stderr } = longscan(['bench', 'step', workshop.job, ...keys, ...few, '--json']);
  assert.is(status, 0, stderr);
  assert.is(JSON.parse(stdout)[0].mesh.sp, 2);
  assert.match(stderr, /^note: the plan goes by a probe of the links between 2 ranks/m);
});

test('a rank that dies while it probes ~> that rank is named, exit code 8; nothing is left of the launch', async () => {
  const failed = refusal({});
  let victim: { pid: number; rank: number } | undefined;
  await until(() => {
    victim = ranksUnderWay().find(({ rank }) => rank === 1);
    return victim !== undefined;
  });
  process.kill(victim!.pid, 'SIGKILL');
  const error = await failed;
  assert.is(error.exitCode, 8);
  assert.is(error.rank, 1);
  assert.match(error.message, /rank 1 .*SIGKILL/);
});

test('ranks that do not come in time ~> E-RANK-ABSENT by the job’s deadline', async () => {
  const error = await refusal({ 'launch.rendezvousTimeoutMs': 1 });
  assert.is(error.code, 'E-RANK-ABSENT');
  assert.is(error.exitCode, 8);
});

test('a stop while links are probed ~> no run, exit code 130', async () => {
  const controller = new AbortController();
  const failed = refusal({}, { signal: controller.signal });
  await until(() => ranksUnderWay().length > 0);
  controller.abort();
  const error = await failed;
  assert.is(error.code, 'E-RUN-KILLED');
  assert.is(error.exitCode, 130);
});

test('what is wrong otherwise ~> told before any rank is started', async () => {
  const taken = join(workshop.dir, 'taken');
  await workshop.train('taken', { 'job.steps': 1 });
  for (const [overrides, options, code] of [
    [{ 'device.memory': '1MiB' }, {}, 'E-PLAN-MEMORY'],
    [{ 'parallel.fabric': 'prob' }, {}, 'E-REG'],
    [{ 'data.sequenceLength': 16 }, {}, 'E-SHAPE'],
    [{}, { runDir: taken }, 'E-LOCK'],
  ] as const) {
    const error = await refusal(overrides, options);
    assert.is(error.code, code);
  }
  const { status, stdout, stderr } = longscan([
    ...['simulate', workshop.job, '--sp', '1,2', '--fabric', 'probe'],
  ]);
  assert.is(status, 2);
  assert.is(stdout, '');
  assert.match(stderr, /E-FABRIC-PROBE\] parallel\.fabric: "probe", where no rank is started/);
});

test.run();
