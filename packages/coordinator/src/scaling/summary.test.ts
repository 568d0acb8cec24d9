import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { curvePoints } from './modes.js';
import type { Launch, PointRecord, Scaling } from './scaling-file.js';
import { countingLaunches, scalingRows } from './summary.js';

const launch = (laps: number[], spExposedMs: number[] = laps.map(() => 1)): Launch => ({
  ...{ endedAt: '', laps, spExposedMs, spBytesSent: 10, peakBytesByRank: [laps[0]!, 7], loss: 2 },
  device: { device: 'cpu' },
});

const record = (sp: number, launches: Launch[], change: Partial<PointRecord> = {}): PointRecord => ({
  ...{ length: 1000, sp, dp: 1, sequenceLength: 1000, batchSize: 1, strategy: 'ring' },
  ...{ modelled: { peakBytes: 5, step: null }, launches, error: null },
  ...change,
});

const rowsOf = (points: PointRecord[]) => scalingRows({ mode: 'strong', points } as unknown as Scaling);

test('modes ~> what is kept and what grows', () => {
  const sizes = (mode: 'strong' | 'weak' | 'batch') =>
    curvePoints(mode, [1, 2, 4], [100], 3).map(({ sequenceLength, batchSize }) => [
      sequenceLength,
      batchSize,
    ]);
  assert.equal(sizes('strong'), [
    [100, 3],
    [100, 3],
    [100, 3],
  ]);
  assert.equal(sizes('weak'), [
    [100, 3],
    [200, 3],
    [400, 3],
  ]);
  assert.equal(sizes('batch'), [
    [100, 3],
    [100, 6],
    [100, 12],
  ]);
  const twoCurves = curvePoints('weak', [1, 2], [100, 50], 1);
  assert.equal(
    twoCurves.map(({ length }) => length),
    [100, 100, 50, 50],
  );
});

test('launches ~> of three or more the fastest and the slowest do not count', () => {
  const [fast, middle, slow, slowest] = [launch([1, 9, 1]), launch([5]), launch([6]), launch([7])];
  assert.equal(countingLaunches([slow!, fast!]), [slow, fast]);
  assert.equal(countingLaunches([slow!, fast!, middle!]), [middle]);
  assert.equal(countingLaunches([slow!, fast!, slowest!, middle!]), [middle, slow]);
});

test('a point ~> median and spread over all steps that count, tokens per second, exposed share, memory by rank', () => {
  const laps = Array.from({ length: 101 }, (_, i) => 100 + i);
  const waits = laps.map((lap) => lap / 10);
  const [row] = rowsOf([
    record(2, [launch(laps.slice(0, 50), waits.slice(0, 50)), launch(laps.slice(50), waits.slice(50))]),
  ]);
  const measured = row!.measured!;
  assert.equal(measured.stepMs, { median: 150, low: 105, high: 195 });
  assert.is(measured.tokensPerSecond.median, 1000 / 0.15);
  assert.ok(measured.tokensPerSecond.low < measured.tokensPerSecond.median);
  assert.equal(measured.exposedShare, { median: 0.1, low: 0.07, high: 0.13 });
  assert.equal(measured.peakBytesByRank, [150, 7]);
  assert.equal([measured.numLaunches, measured.numSteps], [2, 101]);
});

test('efficiency ~> throughput per rank against the smallest sp of the same curve that was measured', () => {
  const rows = rowsOf([
    record(4, [launch([50])]),
    record(2, [launch([100])]),
    record(1, [], { error: { code: 'E', message: 'm', exitCode: 3 } }),
    record(1, [launch([80])], { length: 500, sequenceLength: 500 }),
  ]);
  assert.equal(
    rows.map(({ length, sp }) => [length, sp]),
    [
      [500, 1],
      [1000, 1],
      [1000, 2],
      [1000, 4],
    ],
  );
  assert.equal(
    rows.map(({ measured }) => measured?.efficiency?.median),
    [1, undefined, 1, 1],
  );
  const slower = rowsOf([record(1, [launch([100])]), record(2, [launch([80])])]);
  assert.is(slower[1]!.measured!.efficiency!.median, 0.625);
  const weak = rowsOf([record(1, [launch([100])]), record(2, [launch([125])], { sequenceLength: 2000 })]);
  assert.is(weak[1]!.measured!.efficiency!.median, 0.8);
});

test('a simulated step ~> throughput, efficiency and exposed share of its own, whether or not it was measured', () => {
  const step = (stepMs: number, spExposedMs: number) => ({ stepMs, spExposedMs, fabric: 'f', compute: 'c' });
  const rows = rowsOf([
    record(1, [launch([100])], { modelled: { peakBytes: 5, step: step(200, 0) } }),
    record(2, [], { modelled: { peakBytes: 5, step: step(125, 25) } }),
    record(4, [launch([50])]),
  ]);
  assert.equal(
    rows.map(({ predicted }) => predicted),
    [
      { stepMs: 200, tokensPerSecond: 5000, efficiency: 1, exposedShare: 0 },
      { stepMs: 125, tokensPerSecond: 8000, efficiency: 0.8, exposedShare: 0.2 },
      null,
    ],
  );
});

test.run();
