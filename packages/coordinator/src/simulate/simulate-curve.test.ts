import { processBytes } from '@longscan/worker';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ComputeCosts } from '../compute/compute-costs.js';
import type { Fabric } from '../fabric/fabric.js';
import { codeOfPackages } from '../layer-code/layer-code.js';
import { publishedCurves } from '../papers/published-curves.js';
import { lineChart } from '../plots/line-chart.js';
import { linesOf, markersOf, textsOf } from '../plots/testing/read-svg.js';
import { findCrossings } from './crossings.js';
import { curveCharts, formatCrossings, formatCurve } from './report.js';
import { type CurveStage, simulateCurve } from './simulate-curve.js';

const compute: ComputeCosts = {
  name: 'a machine',
  ops: {},
  other: { launchS: 1e-6, secondsPerByte: 1e-10, secondsPerFlop: 1e-11 },
  ranksAtOnce: null,
  slowdown: [1],
};
const fabric: Fabric = { name: 'wires', latencyS: 1e-5, gapS: 1e-6, bandwidthBytesPerS: 1e9 };

const job = {
  job: { name: 'small' },
  model: { dModel: 32, numLayers: 2, numHeads: 2, mlp: 32, chunk: 16, layers: ['gla'] },
  data: { path: 'none', sequenceLength: 1024 },
};
const request = {
  job,
  mode: 'strong',
  sps: [1, 2, 4],
  strategies: ['ring', 'all-gather'],
  overrides: [],
  code: codeOfPackages({ name: 'small' }),
  skipsUnable: false,
} as const;

async function messageOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('expected an error');
}

test('points whose ranks cannot have the memory ~> simulated, but marked; crosses in charts', async () => {
  const { rows } = await simulateCurve(
    { ...request, strategies: ['ring'], overrides: ['data.sequenceLength=65536'] },
    { fabric, compute },
  );
  assert.equal(
    rows.map(({ shortage }) => shortage),
    [null, null, null],
    'what this host has available is not asked',
  );
  const memory = Math.round((rows[0]!.peakBytes + rows[1]!.peakBytes) / 2) + processBytes;
  const overrides = ['data.sequenceLength=65536', `device.memory=${memory}B`];
  const limited = await simulateCurve({ ...request, strategies: ['ring'], overrides }, { fabric, compute });
  const shortages = limited.rows.map(({ shortage }) => shortage);
  assert.match(shortages[0]!, /^the rank needs .* MiB: .*, which may have at most .* \(device\.memory = /);
  assert.equal(shortages.slice(1), [null, null]);
  assert.equal(
    limited.rows.map(({ stepSeconds }) => stepSeconds),
    rows.map(({ stepSeconds }) => stepSeconds),
  );
  const lines = formatCurve(limited.rows).split('\n');
  assert.equal(
    lines.map((line) => / MiB, too much$/.test(line)),
    [false, true, false, false],
  );
  const [series] = curveCharts(limited.rows, 'strong', 'small').throughput.series;
  assert.equal(
    series!.points.map(({ x }) => x),
    [2, 4],
  );
  assert.equal(series!.failed, [{ x: 1, reason: shortages[0]! }]);
});

test('curves ~> a row for each size and strategy, efficiency from the smallest size on', async () => {
  const stages: CurveStage[] = [];
  const { rows } = await simulateCurve(request, { fabric, compute }, (stage) => stages.push(stage));
  const all = request.sps.flatMap((sp) => request.strategies.map((strategy) => ({ sp, strategy })));
  assert.equal(
    stages,
    (['planning', 'simulating'] as const).flatMap((stage) =>
      all.map((one, i) => ({ stage, point: i + 1, numPoints: all.length, ...one })),
    ),
    'in the order in which they are done',
  );
  assert.equal(
    rows.map(({ sp, strategy }) => `${sp} ${strategy}`),
    ['1 ring', '1 all-gather', '2 ring', '2 all-gather', '4 ring', '4 all-gather'],
  );
  for (const row of rows) {
    assert.is(row.modelled, true);
    assert.is(row.tokens, 1024);
    assert.ok(row.stepSeconds > 0 && row.exposedShare >= 0 && row.exposedShare < 1);
    assert.ok(Math.abs(row.tokensPerSecond * row.stepSeconds - 1024) < 1e-6);
    assert.is(row.tokensPerSecondPerRank, row.tokensPerSecond / row.sp);
    assert.ok(row.sp === 1 ? row.efficiency === 1 : row.efficiency < 1);
    assert.is(row.bytesSent === 0, row.sp === 1);
  }
  const table = formatCurve(rows);
  assert.is(table.split('\n').length, 1 + rows.length);
  const { efficiency } = curveCharts(rows, 'strong', 'small');
  assert.ok(efficiency.series.every(({ modelled }) => modelled === true));
  assert.ok((await lineChart(efficiency)).includes('ring, modelled'));
});

test("weak curves ~> drawn over papers' points: those filled, this hollow, one colour for a strategy", async () => {
  const weak = { ...request, mode: 'weak', sps: [8, 16, 32], strategies: ['all-gather', 'ring'] } as const;
  const { rows } = await simulateCurve(weak, { fabric, compute });
  const published = publishedCurves('weak', 8, 32);
  const { efficiency, throughput } = curveCharts(rows, 'weak', 'small', published);
  assert.ok(
    throughput.series.every((series) => series.published === undefined),
    'tokens/s of other jobs',
  );
  const svg = await lineChart(efficiency);
  const legend = 'LASP-2: arXiv 2502.07563, Linear-Llama3 1B, A100, 16K tokens a GPU; 16 GPUs = 100 %';
  const of = (series: string) => markersOf(svg).filter((marker) => marker.series === series);
  const [paper, modelled] = [of(legend), of('all-gather, modelled')];
  assert.equal([paper.length, modelled.length], [2, 3]);
  for (const [i, { x, fill, stroke }] of paper.entries()) {
    assert.is(x, modelled[i + 1]!.x, 'at the same numbers of ranks');
    assert.equal([fill, stroke], [modelled[0]!.stroke, modelled[0]!.stroke]);
  }
  assert.ok(modelled.every(({ fill }) => fill === 'none'));
  assert.ok(Math.abs(paper[0]!.y - modelled[0]!.y) < 1e-6, 'both begin at 100 %');
  assert.ok(paper[1]!.y > paper[0]!.y);
  assert.equal(
    linesOf(svg).map(({ series }) => series),
    ['all-gather, modelled', 'ring, modelled'],
  );
  const texts = textsOf(svg);
  for (const text of [legend, 'LASP-2', 'ranks of a sequence', 'efficiency (%)'])
    assert.ok(texts.includes(text), text);
  assert.ok(texts.some((text) => /filled: measured by papers, with other jobs/.test(text)));
});

test('modes ~> what grows with sp', async () => {
  const tokensOf = async (mode: 'weak' | 'batch') => {
    const { rows } = await simulateCurve({ ...request, mode, strategies: ['ring'] }, { fabric, compute });
    return rows.map(({ sequenceLength, batchSize }) => [sequenceLength, batchSize]);
  };
  assert.equal(await tokensOf('weak'), [
    [1024, 1],
    [2048, 1],
    [4096, 1],
  ]);
  assert.equal(await tokensOf('batch'), [
    [1024, 1],
    [1024, 2],
    [1024, 4],
  ]);
});

test('sizes that do not fit ~> all of them told; a strategy that cannot run is left out where all were asked for', async () => {
  const many = { ...request, sps: [2, 100, 500], strategies: ['ring'] };
  const message = await messageOf(simulateCurve(many, { fabric, compute }));
  assert.match(message, /E-SHAPE.*sp = 100, 1024 tokens/);
  assert.match(message, /sp = 500, 1024 tokens/);
  const nodes = {
    ...request,
    sps: [4],
    strategies: ['ring', 'two-level'],
    overrides: ['parallel.ranksPerNode=3'],
  };
  assert.match(await messageOf(simulateCurve(nodes, { fabric, compute })), /E-STRATEGY.*sp = 4/);
  const { rows, notes } = await simulateCurve({ ...nodes, skipsUnable: true }, { fabric, compute });
  assert.equal(
    rows.map(({ strategy }) => strategy),
    ['ring'],
  );
  assert.match(notes.join('\n'), /two-level is left out at sp = 4/);
});

test('crossings ~> sooner where latency is what counts', async () => {
  const state = {
    ...({ layer: 0, kind: 'diagonal', numHeads: 4 } as const),
    ...{ stateBytes: 2 ** 20, stateRows: 1024, transitionBytes: 2 ** 12 },
  };
  const at = async (latencyS: number) => {
    const [doubling] = await findCrossings(state, { fabric: { ...fabric, latencyS }, engine: 'nccl' });
    return doubling!;
  };
  const [far, near] = [await at(1e-3), await at(1e-4)];
  assert.ok(far.numRanks! < near.numRanks!, `${far.numRanks}, ${near.numRanks}`);
  for (const { seconds, chainSeconds } of [far, near]) assert.ok(seconds < chainSeconds);
  assert.match(
    formatCrossings([far], 2 ** 20, 'wires')[0]!,
    /^doubling-scan overtakes the chain from P = \d+ on/,
  );
  const never = { ...far, numRanks: null };
  assert.match(formatCrossings([never], 2 ** 20, 'wires')[0]!, /does not overtake the chain/);
});

test.run();
