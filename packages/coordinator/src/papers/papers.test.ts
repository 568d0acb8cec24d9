import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { lineChart } from '../plots/line-chart.js';
import { paperValue } from './cells.js';
import { lasp2WeakScaling, zecoCollectives, zecoThroughput } from './paper-points.js';
import { formatReproduction, reproductionChart } from './report.js';
import { solve } from './training-model.js';
import { reproduceCollectives, zecoFabric } from './zeco-collectives.js';

test('cells ~> those that were fitted come out, the others keep the shape', async () => {
  const reproduction = await reproduceCollectives();
  const { cells } = reproduction;
  assert.is(cells.length, 12);
  assert.equal(
    cells.filter(({ isFitted }) => isFitted).map(({ row, numRanks }) => `${row} ${numRanks}`),
    ['All-Gather 256', 'All-Scan 8', 'All-Scan 256'],
  );
  for (const { relativeError, row, numRanks } of cells.filter(({ isFitted }) => isFitted))
    assert.ok(Math.abs(relativeError) < 0.01, `${row}, ${numRanks}: ${relativeError}`);
  // Nothing was fitted to the others: they grow with the number of ranks, the chain below the gather, and are near in the mean.
  const modelledOf = (wanted: string) =>
    cells.filter(({ row }) => row === wanted).map(({ modelled }) => modelled);
  const [gathers, chains] = [modelledOf('All-Gather'), modelledOf('All-Scan')];
  for (const times of [gathers, chains])
    assert.equal(
      times,
      [...times].sort((x, y) => x - y),
    );
  assert.ok(gathers.every((time, i) => time > chains[i]!));
  const errors = cells
    .filter(({ isFitted }) => !isFitted)
    .map(({ relativeError }) => Math.abs(relativeError));
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  assert.ok(mean < 0.2, `${mean}`);
  const ratio = (of: 'paper' | 'modelled') => {
    const at = (row: string) => cells.find((cell) => cell.row === row && cell.numRanks === 256)![of];
    return at('All-Gather') / at('All-Scan');
  };
  assert.ok(Math.abs(ratio('modelled') / ratio('paper') - 1) < 0.02);
  const text = formatReproduction(reproduction);
  assert.match(text, /3 numbers fitted to 3 cells/);
  assert.match(text, /cells that nothing was fitted to/);
  const svg = await lineChart(reproductionChart(reproduction));
  for (const name of ['All-Gather', 'All-Gather, modelled', 'All-Scan, modelled'])
    assert.ok(svg.includes(name));
});

test('fitted links ~> sizes that links have', () => {
  const { latencyS, gapS, bandwidthBytesPerS } = zecoFabric();
  assert.ok(latencyS > 1e-6 && latencyS < 2e-5 && gapS > 0 && gapS < latencyS);
  assert.ok(bandwidthBytesPerS > 10e9 && bandwidthBytesPerS < 450e9);
});

test('paper points ~> per GPU as the totals of the table say', () => {
  assert.is(paperValue(zecoThroughput, 'LASP-2', 256), 25_402);
  assert.ok(Math.abs(paperValue(lasp2WeakScaling, 'LASP-2', 128) - 6008) < 1);
  assert.throws(() => paperValue(zecoCollectives, 'All-Scan', 7), /no cell All-Scan, 7/);
});

test('solve ~> the argument of a value, of straight and of bent functions', () => {
  assert.ok(Math.abs(solve((x) => 3 + 2 * x, 11, [1, 2]) - 4) < 1e-6);
  assert.ok(Math.abs(solve((x) => Math.max(5, x * x), 49, [1, 6]) - 7) < 1e-4);
});

test.run();
