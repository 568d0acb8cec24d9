import { type JobSpec, jobSpecSchema } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadFabric } from '../fabric/load-fabric.js';
import { withNodes } from './nodes.js';
import { planScans } from './plan-scans.js';
import { timeByFormula } from './scan-time.js';
import { loadStrategies } from './strategies.js';
import { strategiesFor } from './strategy-rules.js';

const installed = await loadStrategies();

function jobOf(parallel: Partial<JobSpec['parallel']>, deterministic = false): JobSpec {
  const layers = [{ use: 'gla', options: {}, file: null }];
  const model = { mlp: 0, layers };
  return jobSpecSchema.parse({ job: { deterministic }, model, data: { path: '/text' }, parallel });
}

const loopback = loadFabric('loopback-tcp');
const hopper = loadFabric('h200');

const namesFor = (...job: Parameters<typeof jobOf>) =>
  strategiesFor(jobOf(...job), installed, loopback).map(({ name }) => name);

test('rules ~> every strategy where nothing speaks against it', () => {
  const all = installed.map(({ name }) => name);
  for (const ranksPerNode of ['auto', 1, 2, 4, 8, 100] as const) {
    assert.equal(namesFor({ sp: 4, dp: 2, ranksPerNode }), all);
  }
});

test('rules ~> a scan over nodes needs sequences that fill them', () => {
  const without = installed.map(({ name }) => name).filter((name) => name !== 'two-level');
  assert.equal(namesFor({ sp: 4, dp: 2, ranksPerNode: 3 }), without);
  assert.equal(
    namesFor({ sp: 4, dp: 2, ranksPerNode: 6 }),
    without,
    'a sequence lies over two of these nodes',
  );
  assert.throws(
    () => namesFor({ sp: 4, ranksPerNode: 3, strategy: 'two-level' }),
    (error: Error) =>
      error.message ===
      'error[E-STRATEGY] parallel.strategy: "two-level" with 3 ranks a node, into which the 4 ranks of a sequence do not go, expected a sequence that fills its nodes. Fix: parallel.strategy = "all-gather", or parallel.strategy = "all-scan", or parallel.strategy = "doubling-scan", or parallel.strategy = "ring", or parallel.ranksPerNode = 1 or 2 or 4',
  );
});

test('rules ~> deterministic mode refuses strategies that compose', () => {
  assert.equal(namesFor({ sp: 4 }, true), ['all-gather', 'all-scan', 'ring']);
  for (const strategy of ['doubling-scan', 'two-level']) {
    assert.throws(() => namesFor({ sp: 4, strategy }, true), /"[a-z-]+" in deterministic mode: .*"ring"/);
    assert.ok(namesFor({ sp: 1, strategy }, true).includes('ring'), 'one rank needs no strategy');
  }
});

test('nodes ~> links between them that are slow make the scan over nodes the fastest', () => {
  const recurrences = [
    { layer: 0, kind: 'diagonal', stateBytes: 2 ** 20, stateRows: 4096, numHeads: 64, transitionBytes: 4096 },
  ] as const;
  const trace = { recurrences, layers: [{ name: 'gla', sliceMultiple: 1 }] };
  const job = jobOf({ sp: 64, ranksPerNode: 8 });
  const fabric = withNodes(loopback, job);
  const slow = { latencyS: 100e-6, gapS: 20e-6, bandwidthBytesPerS: 1e8 };
  const withSlow = { ...fabric, nodes: { ranksPerNode: 8, between: slow } };
  const inputs = { job, trace, strategies: installed, units: 1, ranksPerNode: 8 };
  const found = planScans({ ...inputs, fabric: withSlow, timeScans: timeByFormula(64, withSlow) });
  assert.equal(found.scans, [{ strategy: 'two-level', blocks: 1, ranksPerNode: 8 }]);
  assert.is(withNodes(loopback, jobOf({ sp: 8 })), loopback, 'one node has no links between nodes');
});

test('nodes ~> those of the fabric, unless the job has its own', () => {
  const nodesOf = (parallel: Parameters<typeof jobOf>[0]) => withNodes(hopper, jobOf(parallel)).nodes;
  assert.equal(nodesOf({ sp: 64 }), hopper.nodes);
  assert.equal(nodesOf({ sp: 64, ranksPerNode: 4 }), { ...hopper.nodes!, ranksPerNode: 4 });
  for (const sp of [1, 8]) assert.is(nodesOf({ sp }), undefined, 'one node has no links between nodes');
  assert.is(nodesOf({ sp: 16, ranksPerNode: 16 }), undefined);

  const without = installed.map(({ name }) => name).filter((name) => name !== 'two-level');
  const allowed = (parallel: Parameters<typeof jobOf>[0]) =>
    strategiesFor(jobOf(parallel), installed, hopper).map(({ name }) => name);
  assert.equal(allowed({ sp: 12 }), without, 'two nodes of 8 for 12 ranks');
  assert.equal(allowed({ sp: 6, dp: 2 }), without, 'the second sequence lies over two nodes');
  assert.ok(allowed({ sp: 16 }).includes('two-level') && allowed({ sp: 4, dp: 4 }).includes('two-level'));
});

test.run();
