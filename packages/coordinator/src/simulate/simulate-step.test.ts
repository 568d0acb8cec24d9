import { messageChainSeconds, recordSchedules, type Schedule } from '@longscan/worker';
import type { Plan } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ComputeCosts, OpCost } from '../compute/compute-costs.js';
import { opSeconds } from '../compute/op-seconds.js';
import type { Fabric } from '../fabric/fabric.js';
import { linksOf } from '../fabric/load-fabric.js';
import { planJob } from '../plan/index.js';
import { withNodes } from '../plan/nodes.js';
import { loadStrategies } from '../plan/strategies.js';
import { loadJob } from '../spec/index.js';
import { simulateSchedules } from './simulate-step.js';

const nothing: OpCost = { launchS: 0, secondsPerByte: 0, secondsPerFlop: 0 };
const instant: ComputeCosts = { name: 'instant', ops: {}, other: nothing, ranksAtOnce: null, slowdown: [1] };
const even: ComputeCosts = {
  ...instant,
  other: { launchS: 1e-6, secondsPerByte: 1e-10, secondsPerFlop: 1e-11 },
};
const wire: Fabric = { name: 'wire', latencyS: 5e-6, gapS: 2e-6, bandwidthBytesPerS: 10e9 };
const slowNodes: Fabric = {
  ...wire,
  nodes: { ranksPerNode: 4, between: { latencyS: 40e-6, gapS: 4e-6, bandwidthBytesPerS: 1e9 } },
};

const near = (found: number, expected: number) => Math.abs(found / expected - 1) < 1e-9;

async function planOf(sp: number, strategy: string, more: readonly string[] = []): Promise<Plan> {
  const { jobSpec } = await loadJob(
    {
      model: { dModel: 64, numLayers: 1, numHeads: 4, vocabSize: 256, mlp: 64, chunk: 16, layers: ['gla'] },
      data: { path: 'none', sequenceLength: 16 * sp },
    },
    { readsText: false, overrides: [`parallel.sp=${sp}`, `parallel.strategy=${strategy}`, ...more] },
  );
  return planJob(jobSpec);
}

/** The scans of a step alone. */
function scansOf(schedules: readonly Schedule[]): Schedule[] {
  return schedules.map(({ streams, entries }) => ({
    streams,
    entries: entries.filter(
      (entry) =>
        (entry.kind === 'exchange' || entry.kind === 'collective' || entry.kind === 'chain') &&
        entry.group === 'sp',
    ),
  }));
}

/** Of a state of the layer below: heads, K, V. */
const [numHeads, keyDim, valueDim] = [4, 8, 16];
const bytes = {
  state: 4 * numHeads * keyDim * valueDim,
  transition: 4 * numHeads * keyDim,
  rows: numHeads * valueDim,
};

test("scans with nothing to calculate ~> the strategies' own formulas, and their bytes on every rank", async () => {
  const strategies = await loadStrategies();
  for (const sp of [2, 3, 4, 8, 32]) {
    for (const fabric of [wire, slowNodes]) {
      const hasNodes = fabric.nodes !== undefined && sp > 4;
      if (hasNodes && sp % 4 !== 0) continue;
      for (const { name, cost } of strategies) {
        const plan = await planOf(sp, name, hasNodes ? ['parallel.ranksPerNode=4'] : []);
        const schedules = scansOf(await recordSchedules(plan));
        const { seconds, ranks } = simulateSchedules(schedules, plan, { fabric, compute: instant });
        const links = withNodes(fabric, plan.jobSpec);
        const formula = cost(sp, bytes, links, plan.scans[0]);
        const what = `${name}, ${sp} ranks${hasNodes ? ' in nodes of 4' : ''}`;
        for (const [rank, { bytesSent }] of ranks.entries()) {
          const [forward, reverse] = [
            formula.bytesSentByRank[rank]!,
            formula.bytesSentByRank[sp - 1 - rank]!,
          ];
          assert.is(bytesSent, forward + reverse, `${what}: rank ${rank}`);
        }
        // Forward, then in reverse: the last rank of one is the first of the other.
        const ratio = seconds / 2 / formula.seconds;
        const blocks = name === 'all-scan' ? plan.scans[0]!.blocks : 1;
        if (name === 'ring' || name === 'all-scan') {
          assert.ok(
            near(seconds, 2 * messageChainSeconds(sp, bytes.state, blocks, links)),
            `${what}: ${seconds} s`,
          );
        } else if (name === 'doubling-scan' && !hasNodes && Number.isInteger(Math.log2(sp))) {
          // The formula has M in every round; the way to the last rank does without in some.
          assert.ok(ratio < 1 + 1e-9 && ratio > 0.99, `${what}: ${ratio} of the formula`);
        } else {
          // Formulas count the slow links for all of a round, and no gap that is not over when the next round begins.
          assert.ok(ratio < 1.1 && ratio > 1 / sp, `${what}: ${ratio} of the formula`);
        }
      }
    }
  }
});

test('a plan for GPUs of one host ~> chains through mapped memory, in its step too; messages where they are off', async () => {
  const strategies = await loadStrategies();
  const gpus = ['device.kind=cuda', 'parallel.fabric=h200-vm'];
  const before = process.env.LONGSCAN_PEER_MEMORY;
  try {
    for (const name of ['ring', 'all-scan', 'doubling-scan']) {
      const stepOf = async (word: string) => {
        process.env.LONGSCAN_PEER_MEMORY = word;
        const plan = await planOf(4, name, gpus);
        const fabric = linksOf(plan);
        const schedules = scansOf(await recordSchedules(plan));
        const { seconds, ranks } = simulateSchedules(schedules, plan, { fabric, compute: instant });
        const sent = ranks.map(({ bytesSent }) => bytesSent);
        return { plan, fabric, seconds, sent, entries: schedules.flatMap(({ entries }) => entries) };
      };
      const [mapped, messages] = [await stepOf('allowed'), await stepOf('off')];
      assert.equal(
        [mapped.plan.chains?.carrier, messages.plan.chains?.carrier],
        ['mapped-memory', 'messages'],
      );
      assert.equal(mapped.sent, messages.sent, 'the same bytes');
      assert.not(messages.entries.some(({ kind }) => kind === 'chain'));
      const isChain = name !== 'doubling-scan';
      assert.is(
        mapped.entries.some(({ kind }) => kind === 'exchange'),
        !isChain,
      );
      const { seconds } = strategies.find((one) => one.name === name)!.cost(4, bytes, mapped.fabric);
      if (isChain)
        assert.ok(near(mapped.seconds, 2 * seconds), `${name}: ${mapped.seconds} s, not twice ${seconds}`);
      else assert.is(mapped.seconds, messages.seconds);
      const time = (plan: Plan) => plan.modelled.find(({ strategy }) => strategy === name)!.seconds;
      assert.is(time(mapped.plan) < time(messages.plan), isChain);
    }
  } finally {
    if (before === undefined) delete process.env.LONGSCAN_PEER_MEMORY;
    else process.env.LONGSCAN_PEER_MEMORY = before;
  }
});

test('faster links ~> no slower step, whatever is calculated', async () => {
  for (const name of ['ring', 'all-gather', 'doubling-scan', 'two-level']) {
    const plan = await planOf(8, name);
    const schedules = await recordSchedules(plan);
    const time = (change: Partial<Fabric>) =>
      simulateSchedules(schedules, plan, { fabric: { ...wire, ...change }, compute: even }).seconds;
    const bandwidths = [1e8, 1e9, 1e10, 1e11].map((bandwidthBytesPerS) => time({ bandwidthBytesPerS }));
    const latencies = [1e-3, 1e-4, 1e-5, 0].map((latencyS) => time({ latencyS }));
    for (const times of [bandwidths, latencies])
      for (let i = 1; i < times.length; i++) assert.ok(times[i]! <= times[i - 1]!, `${name}: ${times}`);
    assert.ok(latencies[0]! > latencies[3]!);
  }
});

test('gradients in buckets ~> what a step waits for their sums is that of the last ones', async () => {
  // Replicas, which all have as much to do.
  const job = ['model.numLayers=6', 'parallel.dp=2', 'data.batchSize=2'];
  const stepOf = async (bucket: string) => {
    const plan = await planOf(1, 'ring', [...job, `parallel.gradientBucket=${bucket}`]);
    const compute = { ...even, other: { ...even.other, launchS: 50e-6 } };
    return simulateSchedules(await recordSchedules(plan), plan, { fabric: wire, compute });
  };
  const [whole, cut] = [await stepOf('1GiB'), await stepOf('64KiB')];
  for (const [rank, { bytesSent }] of cut.ranks.entries()) {
    const ratio = bytesSent / whole.ranks[rank]!.bytesSent;
    assert.ok(Math.abs(ratio - 1) < 1e-3, `rank ${rank} sends ${ratio} times as much`);
  }
  const share = cut.exposedGradientS / whole.exposedGradientS;
  assert.ok(share > 0 && share < 0.5, `${share} of what is exposed at the end`);
  assert.ok(cut.seconds < whole.seconds);
});

test('one rank ~> the sum of its ops; ranks that take turns on one core ~> those of all', async () => {
  const costs: ComputeCosts = { ...even, ranksAtOnce: 1 };
  const fabric: Fabric = { ...wire, latencyS: 0, gapS: 0, bandwidthBytesPerS: 1e30 };
  const [one, two] = [await planOf(1, 'ring'), await planOf(2, 'ring')];
  const busyOf = (schedules: readonly Schedule[]) =>
    schedules
      .flatMap(({ entries }) => entries)
      .reduce((sum, entry) => sum + (entry.kind === 'op' ? opSeconds(even, entry) : 0), 0);
  const alone = await recordSchedules(one);
  assert.ok(near(simulateSchedules(alone, one, { fabric, compute: costs }).seconds, busyOf(alone)));
  const both = await recordSchedules(two);
  const shared = simulateSchedules(both, two, { fabric, compute: costs });
  const idle = shared.seconds - busyOf(both);
  assert.ok(idle > -1e-12 && idle < 1e-9, `${idle} s without work`);
});

test('enqueueing ~> hidden where a rank has a core to spare, not where ranks take turns', async () => {
  const plan = await planOf(1, 'ring');
  const schedules = await recordSchedules(plan);
  const shared: ComputeCosts = { ...even, ranksAtOnce: 2, slowdown: [1, 1], enqueueS: 1e-6 };
  const secondsOn = (numRanks: number, compute: ComputeCosts) => {
    const mesh = { sp: 1, dp: numRanks, numRanks };
    const all = Array.from({ length: numRanks }, () => schedules[0]!);
    return simulateSchedules(all, { ...plan, mesh }, { fabric: wire, compute }).seconds;
  };
  const enqueueS = 1e-6 * schedules[0]!.entries.length;
  const [alone, four] = [1, 4].map((numRanks) => secondsOn(numRanks, { ...shared, enqueueS: 0 })) as [
    number,
    number,
  ];
  assert.ok(near(secondsOn(1, shared), alone), 'a second core does it');
  // Four ranks on two cores: half of what all of them enqueue comes on top.
  assert.ok(near(secondsOn(4, shared), four + 2 * enqueueS), 'it takes turns with the ops');
});

test.run();
