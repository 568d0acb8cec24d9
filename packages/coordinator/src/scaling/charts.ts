import type { Chart, Point, Series } from '../plots/chart.js';
import { curveName, type Mode, modeTitles } from './modes.js';
import type { Measured, ScalingRow, Spread } from './summary.js';

/** One metric of a curve over the number of ranks; `name` is that of its file. */
export interface ScalingChart {
  readonly name: 'throughput' | 'efficiency' | 'exposed-communication' | 'memory-per-rank';
  readonly chart: Chart;
}

const x = { label: 'sequence-parallel ranks (sp)', scale: 'log2' } as const;

/** The charts of a curve; a metric that was measured nowhere has none. */
export function scalingCharts(rows: readonly ScalingRow[], mode: Mode, subtitle: string): ScalingChart[] {
  const lengths = [...new Set(rows.map(({ length }) => length))];
  const curves = (value: (measured: Measured, row: ScalingRow) => Spread | null): Series[] =>
    lengths.map((length) => ({
      name: curveName(mode, length),
      points: ofLength(rows, length).flatMap((row) => pointOf(row, value)),
      failed: ofLength(rows, length).flatMap(({ sp, error }) =>
        error === null ? [] : [{ x: sp, reason: error.message }],
      ),
    }));
  const about = { subtitle, x };
  const title = (what: string) => `${what}, ${modeTitles[mode]}`;
  const throughput = curves(({ tokensPerSecond }) => tokensPerSecond);
  const efficiency = curves(({ efficiency }) => efficiency && scaled(efficiency, 100));
  const exposed = curves(({ exposedShare }) => exposedShare && scaled(exposedShare, 100));
  const unit = memoryUnit(rows);
  const memory = curves(({ peakBytesByRank }) => largest(peakBytesByRank.map((bytes) => bytes / unit.bytes)));
  const planned = lengths.map((length) => ({
    name: curveName(mode, length),
    modelled: true,
    points: ofLength(rows, length).map(({ sp, prediction }) => ({
      x: sp,
      y: prediction.peakBytes / unit.bytes,
    })),
  }));
  const charts: ScalingChart[] = [
    {
      name: 'throughput',
      chart: {
        ...about,
        title: title('Throughput'),
        y: { label: 'throughput', unit: 'tokens/s' },
        series: [...throughput, ...throughput.flatMap(linearFrom)],
      },
    },
    {
      name: 'efficiency',
      chart: {
        ...about,
        title: title('Efficiency'),
        y: { label: 'throughput per rank, of that at the smallest sp', unit: '%' },
        series: [...efficiency, flatAt(100, efficiency)],
      },
    },
    {
      name: 'exposed-communication',
      chart: {
        ...about,
        title: title('Exposed communication'),
        y: { label: 'share of a step', unit: '%' },
        series: exposed,
      },
    },
    {
      name: 'memory-per-rank',
      chart: {
        ...about,
        title: title('Memory per rank'),
        y: { label: 'most in use at once', unit: unit.name },
        series: [...memory, ...planned],
      },
    },
  ];
  return charts.filter(({ chart }) =>
    chart.series.some((series) => !series.ideal && series.points.length > 0),
  );
}

function ofLength(rows: readonly ScalingRow[], length: number): readonly ScalingRow[] {
  return rows.filter((row) => row.length === length);
}

function pointOf(row: ScalingRow, value: (measured: Measured, row: ScalingRow) => Spread | null): Point[] {
  const spread = row.measured && value(row.measured, row);
  return spread === null ? [] : [{ x: row.sp, y: spread.median, low: spread.low, high: spread.high }];
}

function scaled({ median, low, high }: Spread, factor: number): Spread {
  return { median: median * factor, low: low * factor, high: high * factor };
}

/** The rank with the most, and how far the others are below it. */
function largest(values: readonly number[]): Spread {
  const high = Math.max(...values);
  return { median: high, low: Math.min(...values), high };
}

/** Throughput in proportion to the ranks, through a curve's first point. */
function linearFrom({ name, points, failed = [] }: Series, _index: number, all: readonly Series[]): Series[] {
  const [first] = points;
  if (first === undefined) return [];
  const xs = [...points, ...failed].map((point) => point.x).sort((a, b) => a - b);
  return [
    {
      name: all.length === 1 ? 'linear' : `linear, ${name}`,
      ideal: true,
      points: xs.map((at) => ({ x: at, y: (first.y * at) / first.x })),
    },
  ];
}

function flatAt(y: number, series: readonly Series[]): Series {
  const xs = series.flatMap(({ points, failed = [] }) => [...points, ...failed].map((point) => point.x));
  return {
    name: 'linear',
    ideal: true,
    points: [...new Set(xs)].sort((a, b) => a - b).map((x) => ({ x, y })),
  };
}

function memoryUnit(rows: readonly ScalingRow[]): { readonly name: string; readonly bytes: number } {
  const most = Math.max(...rows.map(({ prediction }) => prediction.peakBytes));
  return most >= 2 ** 30 ? { name: 'GiB', bytes: 2 ** 30 } : { name: 'MiB', bytes: 2 ** 20 };
}
