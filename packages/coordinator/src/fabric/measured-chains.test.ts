import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { noWork } from '../plan/layer-scans.js';
import { timeBySimulation } from '../plan/simulate-scans.js';
import { loadStrategies } from '../plan/strategies.js';
import { loadFabric } from './load-fabric.js';

const [KiB, MiB] = [2 ** 10, 2 ** 20];

/**
 * Between two H200, docs/benchmarks/gpu-chains_h200_2026-11.md: rows of the state, medians in µs of scans that are the same kernel, and
 * how far off the count may be. All-scan at 64 KiB spreads from 23.3 to 50.6 µs, which no other row does.
 */
const measured = [
  { bytes: 8, rows: 1, medians: { 'all-scan': 21.1, ring: 23.7 }, bounds: { 'all-scan': 0.1, ring: 0.1 } },
  {
    bytes: 64 * KiB,
    rows: 128,
    medians: { 'all-scan': 36.0, ring: 22.7 },
    bounds: { 'all-scan': 0.36, ring: 0.1 },
  },
  {
    bytes: MiB,
    rows: 2048,
    medians: { 'all-scan': 25.1, ring: 26.9 },
    bounds: { 'all-scan': 0.15, ring: 0.1 },
  },
  {
    bytes: 4 * MiB,
    rows: 8192,
    medians: { 'all-scan': 50.1, ring: 48.6 },
    bounds: { 'all-scan': 0.1, ring: 0.1 },
  },
] as const;

const strategies = await loadStrategies();

/** Half of a scan and the one back, by the simulation that the planner chooses with. */
function countedUs(name: string, stateBytes: number, stateRows: number): number {
  const timeScans = timeBySimulation(2, {
    ...{ fabric: loadFabric('h200-vm'), engine: 'nccl', secondsOf: () => 0 },
    ...{ ranksAtOnce: null, slowdown: [1], coresPerMessage: 0 },
  });
  const strategy = strategies.find((one) => one.name === name)!;
  const recurrence = {
    ...{ layer: 0, kind: 'identity' as const, stateBytes, stateRows, numHeads: 1, transitionBytes: 0 },
  };
  const scans = { layers: [0], recurrences: [recurrence], units: 1, work: noWork };
  return (1e6 * timeScans({ strategy, options: { blocks: 1, ranksPerNode: 2 } }, scans).seconds) / 2;
}

test('h200-vm ~> counts chains as they were measured', () => {
  for (const { bytes, rows, medians, bounds } of measured) {
    for (const name of ['all-scan', 'ring'] as const) {
      const error = countedUs(name, bytes, rows) / medians[name] - 1;
      assert.ok(Math.abs(error) <= bounds[name], `${name}, ${bytes} bytes: off by ${100 * error} %`);
    }
  }
});

test('h200-vm ~> the parameters are those that the measured rows are fitted by', () => {
  const { launchS, latencyS, bandwidthBytesPerS } = loadFabric('h200-vm').chains!;
  // Of two ranks: a launch and a hop, and the bytes.
  const errorOf = (constantS: number, byteS: number) =>
    measured
      .flatMap(({ bytes, medians }) =>
        Object.values(medians).map((us) => (constantS + bytes * byteS) / (1e-6 * us) - 1),
      )
      .reduce((sum, error) => sum + error ** 2, 0);
  const [constantS, byteS] = [launchS + latencyS, 1 / bandwidthBytesPerS];
  for (const factor of [0.98, 1.02]) {
    assert.ok(errorOf(factor * constantS, byteS) > errorOf(constantS, byteS));
    assert.ok(errorOf(constantS, factor * byteS) > errorOf(constantS, byteS));
  }
});

test.run();
