import type { LinkCost } from '@longscan/worker';
import { jobSpecSchema, type RecurrenceTrace } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Fabric } from '../fabric/fabric.js';
import { loadFabric } from '../fabric/load-fabric.js';
import type { LayerWork } from './layer-scans.js';
import { planScans } from './plan-scans.js';
import { timeByFormula } from './scan-time.js';
import { timeBySimulation } from './simulate-scans.js';
import { loadStrategies } from './strategies.js';

const strategies = await loadStrategies();

const link: LinkCost = { latencyS: 10e-6, gapS: 2e-6, bandwidthBytesPerS: 25e9 };
const fabric: Fabric = { name: 'even links', ...link };

/** A recurrence of heads of [64, 64]. */
function scanned(layer: number, kind: RecurrenceTrace['kind'], stateBytes: number): RecurrenceTrace {
  const numHeads = stateBytes / (4 * 64 * 64);
  const perHead = { diagonal: 64, dense: 64 * 64 }[kind as string] ?? 0;
  const sizes = { stateBytes, stateRows: 64 * numHeads, numHeads, transitionBytes: 4 * perHead * numHeads };
  return { layer, kind, ...sizes };
}

interface Situation {
  readonly sp: number;
  readonly fabric?: Fabric;
  readonly parallel?: object;
  readonly work?: LayerWork;
  readonly byFormula?: boolean;
}

function chosen(recurrences: readonly RecurrenceTrace[], situation: Situation) {
  const { sp, fabric: links = fabric, parallel, work, byFormula } = situation;
  const job = jobSpecSchema.parse({
    model: { mlp: 0, layers: [{ use: 'gla', options: {}, file: null }] },
    data: { path: '/text' },
    parallel: { sp, ...parallel },
  });
  const numLayers = 1 + Math.max(...recurrences.map(({ layer }) => layer));
  const onOwnDevices = { ranksAtOnce: null, slowdown: [1], coresPerMessage: 0, secondsOf: () => 0 };
  return planScans({
    ...{ job, strategies, fabric: links, units: 1 },
    trace: {
      recurrences,
      layers: Array.from({ length: numLayers }, () => ({ name: 'any', sliceMultiple: 1 })),
    },
    ranksPerNode: Math.min(sp, links.nodes?.ranksPerNode ?? sp),
    timeScans: byFormula
      ? timeByFormula(sp, links)
      : timeBySimulation(sp, { fabric: links, engine: 'nccl', ...onOwnDevices }),
    ...(work && { workOf: () => work }),
  });
}

const KiB = 2 ** 10;
const MiB = 2 ** 20;

test('choice ~> the chain where ranks are few and states large, in more blocks the larger they are', () => {
  const blocks = [1, 4, 16, 64].map((size) => {
    const { scans, strategy } = chosen([scanned(0, 'diagonal', size * MiB)], { sp: 4 });
    assert.is(strategy, 'all-scan', `${size} MiB`);
    return scans[0]!.blocks;
  });
  assert.equal(
    [...blocks].sort((a, b) => a - b),
    blocks,
  );
  assert.ok(blocks.at(-1)! > blocks[0]!, `${blocks}`);
});

test('choice ~> few rounds overtake the chain as ranks grow, up to thousands', () => {
  const strategyAt = (sp: number) => chosen([scanned(0, 'diagonal', MiB)], { sp }).strategy;
  assert.is(strategyAt(4), 'all-scan');
  for (const sp of [256, 1024]) assert.ok(['doubling-scan', 'two-level'].includes(strategyAt(sp)), `${sp}`);
});

test('choice ~> slow links between nodes carry each state once and in shares', () => {
  const between = { latencyS: 100e-6, gapS: 5e-6, bandwidthBytesPerS: 1e9 };
  const nodes: Fabric = { ...fabric, nodes: { ranksPerNode: 8, between } };
  const { scans } = chosen([scanned(0, 'diagonal', MiB / 2)], { sp: 64, fabric: nodes });
  assert.equal(scans, [{ strategy: 'two-level', blocks: 1, ranksPerNode: 8 }]);
});

test('choice ~> a dense M is expensive to send, and the chain never sends it', () => {
  const exposed = (kind: RecurrenceTrace['kind'], name: string) => {
    const [table] = chosen([scanned(0, kind, 8 * MiB)], { sp: 8 }).tables;
    return table!.candidates.find(({ strategy }) => strategy === name)!.exposedS;
  };
  for (const name of ['all-gather', 'doubling-scan']) {
    assert.ok(exposed('dense', name) > 1.5 * exposed('diagonal', name), name);
  }
  for (const name of ['ring', 'all-scan']) {
    assert.ok(Math.abs(exposed('dense', name) / exposed('diagonal', name) - 1) < 1e-9, name);
  }
});

test('choice ~> what computation hides costs nothing, so that fewer bytes decide', () => {
  const free = chosen([scanned(0, 'diagonal', 64 * KiB)], { sp: 8 });
  assert.not.ok(['ring', 'all-scan'].includes(free.strategy), free.strategy);
  const direction = { besideS: 1e-2, aloneS: 1e-3 };
  const work = { forward: direction, reverse: direction };
  const { strategy, tables } = chosen([scanned(0, 'diagonal', 64 * KiB)], { sp: 8, work });
  assert.ok(['ring', 'all-scan'].includes(strategy), strategy);
  assert.is(tables[0]!.candidates[0]!.exposedS < 1e-9, true);
  assert.is(tables[0]!.besideS, 2e-2);
});

test('choice ~> each layer by its own states; what is alike is looked at once', () => {
  const kinds = [64 * KiB, 32 * MiB, 64 * KiB, 32 * MiB];
  const { strategy, scans, tables, steps } = chosen(
    kinds.map((size, layer) => scanned(layer, 'diagonal', size)),
    { sp: 8 },
  );
  assert.is(strategy, 'mixed');
  assert.equal([scans[0], scans[1]], [scans[2], scans[3]]);
  assert.is(scans[1]!.strategy, 'all-scan');
  assert.is.not(scans[0]!.strategy, 'all-scan');
  assert.equal(
    tables.map(({ layers }) => layers),
    [
      [0, 2],
      [1, 3],
    ],
  );
  assert.is(steps.at(-1)!.strategy, 'mixed');
  for (const { seconds } of steps) assert.ok(steps.at(-1)!.seconds <= seconds * 1.01);
});

test('choice ~> a recurrence of which nothing is known goes slice after slice, and holds back no other layer', () => {
  const opaque: RecurrenceTrace = {
    ...{ layer: 0, kind: 'opaque', stateBytes: 4096, stateRows: 1, numHeads: 1, transitionBytes: 0 },
  };
  const { scans } = chosen([opaque, scanned(2, 'diagonal', 32 * MiB)], { sp: 4 });
  assert.equal(
    scans.map(({ strategy }) => strategy),
    ['ring', 'ring', 'all-scan'],
    'layer 1 has no recurrence',
  );
});

test('choice ~> what the job sets is followed', () => {
  const states = [scanned(0, 'diagonal', MiB)];
  const asked = (parallel: object) => chosen(states, { sp: 8, parallel, byFormula: true }).scans[0]!;
  assert.is(asked({ strategy: 'ring' }).strategy, 'ring');
  assert.equal(asked({ strategy: 'all-scan', blocks: 5 }), {
    strategy: 'all-scan',
    blocks: 5,
    ranksPerNode: 8,
  });
  assert.is(asked({ strategy: 'doubling-scan' }).strategy, 'doubling-scan');
  const tiny = chosen([scanned(0, 'diagonal', 16 * KiB)], {
    ...{ sp: 2, byFormula: true, parallel: { strategy: 'all-scan' } },
  });
  assert.is(tiny.scans[0]!.blocks, 1, 'two ranks have nothing to pipeline');
});

test('choice ~> chains through mapped memory win where as messages they lose, with no blocks to choose', () => {
  const { chains, ...messages } = loadFabric('h200-vm');
  const mapped: Fabric = { ...messages, ...(chains && { chains }) };
  for (const sp of [4, 8]) {
    const at = (links: Fabric) => chosen([scanned(0, 'identity', MiB)], { sp, fabric: links });
    assert.is(at(messages).strategy, 'doubling-scan');
    const { strategy, scans, tables } = at(mapped);
    assert.is(strategy, 'all-scan');
    assert.equal(scans, [{ strategy: 'all-scan', blocks: 1, ranksPerNode: sp }]);
    const [first, second] = tables[0]!.candidates;
    assert.equal([first!.strategy, second!.strategy], ['all-scan', 'ring']);
    assert.is(first!.seconds, second!.seconds, 'they are the same thing');
  }
  const asked = chosen([scanned(0, 'identity', MiB)], {
    ...{ sp: 4, fabric: mapped, parallel: { strategy: 'all-scan', blocks: 8 } },
  });
  assert.is(asked.scans[0]!.blocks, 8, 'what a job sets is followed, though it makes no difference');
});

test('formula ~> hardly more than the simulation of the same messages, so that none is left out for it', () => {
  // Formulas have M in every round of the doubling scan, and a latency for every block of a ring, pieces or not. Of other numbers of ranks, some rounds of the doubling scan do not wait for the one before.
  const mapped = loadFabric('h200-vm');
  for (const [sp, links] of [
    [2, fabric],
    [8, fabric],
    [2, mapped],
    [8, mapped],
  ] as const) {
    for (const kind of ['diagonal', 'dense', 'identity'] as const) {
      for (const size of [16 * KiB, MiB]) {
        const tables = [true, false].map(
          (byFormula) =>
            chosen([scanned(0, kind, size)], { sp, fabric: links, byFormula }).tables[0]!.candidates,
        );
        for (const bound of tables[0]!) {
          const found = tables[1]!.find(
            ({ strategy, blocks, ranksPerNode }) =>
              strategy === bound.strategy && blocks === bound.blocks && ranksPerNode === bound.ranksPerNode,
          )!;
          const what = `${sp} ranks, ${kind}, ${size} bytes, ${bound.strategy} ${bound.blocks} ${bound.ranksPerNode}`;
          assert.ok(bound.seconds <= found.seconds * 1.25, `${what}: ${bound.seconds} > ${found.seconds}`);
        }
      }
    }
  }
});

test.run();
