import { formatBytes, formatPercent, formatSeconds, formatTable } from '../format.js';
import type { Chart, Series } from '../plots/chart.js';
import { type Mode, modeTitles } from '../scaling/modes.js';
import type { Crossing } from './crossings.js';
import type { PublishedCurve } from './published-curve.js';
import type { SimulatedRow } from './simulate-curve.js';

/** A table for people. */
export function formatCurve(rows: readonly SimulatedRow[]): string {
  const header = [
    ...['sp', 'strategy', 'tokens', 'step', 'tokens/s', 'per rank', 'efficiency'],
    ...['exposed', 'gradients', 'sent', 'memory'],
  ];
  const lines = rows.map((row) => [
    String(row.sp),
    row.strategy,
    count(row.tokens),
    formatSeconds(row.stepSeconds),
    count(row.tokensPerSecond),
    count(row.tokensPerSecondPerRank),
    formatPercent(row.efficiency),
    formatPercent(row.exposedShare),
    formatPercent(row.exposedGradientShare),
    formatBytes(row.bytesSent),
    `${formatBytes(row.peakBytes)}${row.shortage === null ? '' : ', too much'}`,
  ]);
  return formatTable([header, ...lines], '><>>>>>>>>>');
}

/** Where the chain stops being the fastest scan, in a sentence each. */
export function formatCrossings(
  crossings: readonly Crossing[],
  stateBytes: number,
  fabric: string,
): string[] {
  return crossings.map(({ strategy, numRanks, seconds, chainSeconds }) => {
    const times = `${formatSeconds(seconds)} against ${formatSeconds(chainSeconds)}`;
    const state = `a state of ${formatBytes(stateBytes)} over ${fabric}`;
    return numRanks === null
      ? `${strategy} does not overtake the chain for ${state} (${times} at 4,096 ranks)`
      : `${strategy} overtakes the chain from P = ${numRanks} on for ${state} (${times})`;
  });
}

/** By the name of their files. */
export function curveCharts(
  rows: readonly SimulatedRow[],
  mode: Mode,
  name: string,
  published: readonly PublishedCurve[] = [],
): Readonly<Record<'throughput' | 'efficiency', Chart>> {
  const [first] = rows;
  const subtitle = first === undefined ? '' : `modelled: ${first.compute}; ${first.fabric}`;
  const x = { label: 'ranks of a sequence', scale: 'log2' } as const;
  const title = `${name}, ${modeTitles[mode]}`;
  return {
    throughput: {
      ...{ title: `${title}: throughput`, subtitle, x },
      y: { label: 'throughput', unit: 'tokens/s', scale: 'log10' },
      series: seriesOf(rows, ({ tokensPerSecond }) => tokensPerSecond),
    },
    efficiency: {
      title: `${title}: efficiency`,
      ...(published.length === 0 ? { subtitle } : { subtitle: [subtitle, aboutPublished], width: 640 }),
      x,
      y: { label: 'efficiency', unit: '%' },
      series: [...seriesOf(rows, ({ efficiency }) => 100 * efficiency), ...published.map(publishedSeries)],
    },
  };
}

const aboutPublished =
  'hollow: this job, modelled; filled: measured by papers, with other jobs on other machines';

/** In the colour of the modelled curve of the same strategy. */
function publishedSeries({ name, strategy, source, base, points }: PublishedCurve): Series {
  return {
    name: strategy,
    published: { label: name, source: `${source}; ${base} GPUs = 100 %` },
    points: points.map(({ numRanks, efficiency }) => ({ x: numRanks, y: 100 * efficiency })),
  };
}

function seriesOf(rows: readonly SimulatedRow[], metric: (row: SimulatedRow) => number): Series[] {
  const curveOf = ({ strategy }: SimulatedRow) => (strategy.startsWith('auto') ? 'auto' : strategy);
  return [...new Set(rows.map(curveOf))].map((name) => {
    const own = rows.filter((row) => curveOf(row) === name);
    return {
      ...{ name, modelled: true },
      points: own.flatMap((row) => (row.shortage === null ? [{ x: row.sp, y: metric(row) }] : [])),
      failed: own.flatMap(({ sp, shortage }) => (shortage === null ? [] : [{ x: sp, reason: shortage }])),
    };
  });
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
