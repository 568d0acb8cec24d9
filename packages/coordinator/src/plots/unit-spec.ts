import { axisOf, scaleOf } from './axes.js';
import type { Chart, Series } from './chart.js';
import { colours, grey, red } from './theme.js';

/** How a series is drawn, and what the legend calls it. */
interface Look {
  readonly label: string;
  readonly colour: string;
  /** Of its markers. */
  readonly fill: string;
  readonly dash: readonly number[];
}

const solid = [1, 0];
const dashed = [6, 4];
const dotted = [2, 3];

/** One chart as a Vega-Lite specification without its theme: lines, their spread, markers, and marks where points failed. */
export function unitSpec(chart: Chart): object {
  const { title, subtitle, spread = 'bars', width = 480, height = 280 } = chart;
  const looks = looksOf(chart.series);
  const rows = chart.series.flatMap((series, i) =>
    series.points.map((point) => ({ ...point, series: looks[i]!.label, ideal: series.ideal === true })),
  );
  const failed = chart.series.flatMap((series) => series.failed ?? []);
  const ofSeries = (range: readonly (string | readonly number[])[]) => ({
    field: 'series',
    type: 'nominal',
    scale: { domain: looks.map(({ label }) => label), range },
    legend: { title: null },
  });
  const color = ofSeries(looks.map(({ colour }) => colour));
  const strokeDash = ofSeries(looks.map(({ dash }) => dash));
  const fill = ofSeries(looks.map((look) => look.fill));
  const x = xChannel(
    chart,
    [...rows, ...failed].map((point) => point.x),
  );
  const y = yChannel(
    chart,
    rows.flatMap(({ y: value, low = value, high = value }) => [value, low, high]),
  );

  const lines = {
    mark: { type: 'line', strokeWidth: 2 },
    encoding: { x, y: { ...y, field: 'y' }, color, strokeDash },
  };
  const spreads = {
    transform: [{ filter: 'datum.low != null && datum.high != null' }],
    mark:
      spread === 'band'
        ? { type: 'area', opacity: 0.2 }
        : { type: 'errorbar', ticks: { size: 7 }, thickness: 1.5 },
    encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' }, color },
  };
  const markers = {
    transform: [{ filter: '!datum.ideal' }],
    mark: { type: 'point', size: 55, strokeWidth: 2, opacity: 1 },
    encoding: { x, y: { ...y, field: 'y' }, color, fill },
  };
  const failures = {
    data: { values: failed },
    encoding: { x, y: { value: height - 9 }, description: { field: 'reason', type: 'nominal' } },
    layer: [
      { mark: { type: 'point', shape: 'cross', angle: 45, size: 90, filled: true, color: red, opacity: 1 } },
      { mark: { type: 'text', text: 'failed', dy: -13, color: red, fontSize: 11 } },
    ],
  };
  return {
    title: { text: title, ...(subtitle === undefined ? {} : { subtitle }) },
    ...{ width, height },
    data: { values: rows },
    layer: [
      ...(spread === 'band' ? [spreads, lines] : [lines, spreads, markers]),
      ...(failed.length === 0 ? [] : [failures]),
    ],
  };
}

/** Series of one name share a colour; ideal ones are grey. */
function looksOf(series: readonly Series[]): Look[] {
  const names = [...new Set(series.filter(({ ideal }) => ideal !== true).map(({ name }) => name))];
  return series.map(({ name, modelled, ideal }) => {
    if (ideal === true) return { label: name, colour: grey, fill: 'none', dash: dotted };
    const colour = colours[names.indexOf(name) % colours.length]!;
    return modelled === true
      ? { label: `${name}, modelled`, colour, fill: 'none', dash: dashed }
      : { label: name, colour, fill: colour, dash: solid };
  });
}

function xChannel({ x }: Chart, values: readonly number[]): object {
  return {
    ...{ field: 'x', type: 'quantitative', title: x.label, axis: axisOf(x.scale, values) },
    scale: { ...scaleOf(x.scale, false), nice: x.scale === 'linear' },
  };
}

/** Without its field: lines and spreads read others. */
function yChannel({ y }: Chart, values: readonly number[]): object {
  const { scale = 'linear', unit, label, zero = true } = y;
  return {
    type: 'quantitative',
    title: unit === '' ? label : `${label} (${unit})`,
    axis: axisOf(scale, values),
    scale: { ...scaleOf(scale, zero), nice: true },
  };
}
