import type { Chart, Point, Series } from '../plots/chart.js';
import { curveName, type Mode } from './modes.js';
import type { Measured, ScalingRow, Spread } from './summary.js';

/** One metric of a curve over the number of ranks; `name` is that of its file. */
export interface ScalingChart {
  readonly name: 'throughput' | 'efficiency' | 'exposed-communication' | 'memory-per-rank';
  readonly chart: Chart;
}

const x = { label: 'sequence-parallel ranks (sp)', scale: 'log2' } as const;

/** The charts of a curve; a metric that was measured nowhere has none. */
export function scalingCharts(rows: readonly ScalingRow[], mode: Mode): ScalingChart[] {
  const curves = (pointOf: (measured: Measured, sp: number) => Point): Series[] =>
    lengthsOf(rows).map((length) => {
      const own = rows.filter((row) => row.length === length);
      return {
        name: curveName(mode, length),
        points: own.flatMap(({ sp, measured }) => (measured === null ? [] : [pointOf(measured, sp)])),
        failed: own.flatMap(({ sp, error }) => (error === null ? [] : [{ x: sp, reason: error.message }])),
      };
    });
  const modelled = (yOf: (row: ScalingRow) => number | null | undefined): Series[] =>
    lengthsOf(rows).flatMap((length) => {
      const points = rows
        .filter((row) => row.length === length)
        .flatMap((row) => {
          const y = yOf(row);
          return y === null || y === undefined ? [] : [{ x: row.sp, y }];
        });
      return points.length === 0 ? [] : [{ name: curveName(mode, length), modelled: true, points }];
    });
  const throughput = curves(({ tokensPerSecond }, sp) => spreadPoint(sp, tokensPerSecond, 1));
  const efficiency = curves((measured, sp) => spreadPoint(sp, measured.efficiency, 100));
  const exposed = curves(({ exposedShare }, sp) => spreadPoint(sp, exposedShare, 100));
  const unit = memoryUnit(rows);
  const memory = curves(({ peakBytesByRank }, sp) => ({
    x: sp,
    y: Math.max(...peakBytesByRank) / unit.bytes,
  }));

  const charts: ScalingChart[] = [
    {
      name: 'throughput',
      chart: {
        ...{ title: 'Throughput', x, y: { label: 'throughput', unit: 'tokens/s' } },
        series: [
          ...throughput,
          ...modelled(({ predicted }) => predicted?.tokensPerSecond),
          ...throughput.flatMap((series) => linearFrom(series, throughput.length > 1)),
        ],
      },
    },
    {
      name: 'efficiency',
      chart: {
        ...{ title: 'Efficiency', x, y: { label: 'efficiency', unit: '%' } },
        series: [
          ...efficiency,
          ...modelled(({ predicted }) => predicted && 100 * predicted.efficiency),
          flatAt(100, efficiency),
        ],
      },
    },
    {
      name: 'exposed-communication',
      chart: {
        ...{ title: 'Exposed communication', x, y: { label: 'share of a step', unit: '%' } },
        series: [...exposed, ...modelled(({ predicted }) => predicted && 100 * predicted.exposedShare)],
      },
    },
    {
      name: 'memory-per-rank',
      chart: {
        ...{ title: 'Memory per rank', x, y: { label: 'most in use at once', unit: unit.name } },
        series: [...memory, ...modelled(({ prediction }) => prediction.peakBytes / unit.bytes)],
      },
    },
  ];
  const isMeasured = ({ ideal, modelled, points }: Series) => !ideal && !modelled && points.length > 0;
  return charts.filter(({ chart }) => chart.series.some(isMeasured));
}

function lengthsOf(rows: readonly ScalingRow[]): number[] {
  return [...new Set(rows.map(({ length }) => length))];
}

function spreadPoint(sp: number, spread: Spread, factor: number): Point {
  return { x: sp, y: spread.median * factor, low: spread.low * factor, high: spread.high * factor };
}

/** Throughput in proportion to the ranks, through a curve's first point. */
function linearFrom({ name, points, failed = [] }: Series, isOneOfMany: boolean): Series[] {
  const [first] = points;
  if (first === undefined) return [];
  return [
    {
      name: isOneOfMany ? `linear, ${name}` : 'linear',
      ideal: true,
      points: rising([...points, ...failed]).map((at) => ({ x: at, y: (first.y * at) / first.x })),
    },
  ];
}

function flatAt(y: number, series: readonly Series[]): Series {
  const xs = rising(series.flatMap(({ points, failed = [] }) => [...points, ...failed]));
  return { name: 'linear', ideal: true, points: xs.map((at) => ({ x: at, y })) };
}

function rising(points: readonly { readonly x: number }[]): number[] {
  return [...new Set(points.map((point) => point.x))].sort((a, b) => a - b);
}

function memoryUnit(rows: readonly ScalingRow[]): { readonly name: string; readonly bytes: number } {
  const most = Math.max(...rows.map(({ prediction }) => prediction.peakBytes));
  return most >= 2 ** 30 ? { name: 'GiB', bytes: 2 ** 30 } : { name: 'MiB', bytes: 2 ** 20 };
}
