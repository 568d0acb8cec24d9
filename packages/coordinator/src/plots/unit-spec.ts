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
  /** In the legend; of published points, in the chart too. */
  readonly shape: string;
}

const solid = [1, 0];
const dashed = [6, 4];
const dotted = [2, 3];

/** As paths in a square from -1 to 1, smaller than it where they stand beside a line in a legend. */
const lineShape = 'M-1,0L1,0';
const publishedShapes = [
  'M0,-0.48L0.48,0L0,0.48L-0.48,0Z',
  'M-0.36,-0.36L0.36,-0.36L0.36,0.36L-0.36,0.36Z',
  'M0,-0.44L0.44,0.36L-0.44,0.36Z',
] as const;

/** Of a legend's text, as wide as Vega takes it to be without a DOM, and of all that stands beside it; pixels. */
const [legendCharacter, legendRest] = [9.6, 45];

/** One chart as a Vega-Lite specification without its theme: lines, their spread, markers, and marks where points failed. */
export function unitSpec(chart: Chart): object {
  const { title, subtitle, spread = 'bars', width = 480, height = 280 } = chart;
  const looks = looksOf(chart.series);
  const rows = chart.series.flatMap((series, i) =>
    series.points.map((point, at) => ({
      ...{ ...point, series: looks[i]!.label, ideal: series.ideal === true },
      ...(series.published && { published: at < series.points.length - 1 ? '' : series.published.label }),
    })),
  );
  const failed = chart.series.flatMap((series) => series.failed ?? []);
  const ofSeries = (range: readonly (string | readonly number[])[]) => ({
    field: 'series',
    type: 'nominal',
    scale: { domain: looks.map(({ label }) => label), range },
    legend: { title: null, columns: legendColumns(looks, width) },
  });
  const color = ofSeries(looks.map(({ colour }) => colour));
  const strokeDash = ofSeries(looks.map(({ dash }) => dash));
  const fill = ofSeries(looks.map((look) => look.fill));
  const shape = ofSeries(looks.map((look) => look.shape));
  const x = xChannel(
    chart,
    [...rows, ...failed].map((point) => point.x),
  );
  const y = yChannel(
    chart,
    rows.flatMap(({ y: value, low = value, high = value }) => [value, low, high]),
  );

  const lines = {
    transform: [{ filter: 'datum.published == null' }],
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
    transform: [{ filter: '!datum.ideal && datum.published == null' }],
    mark: { type: 'point', size: 55, strokeWidth: 2, opacity: 1 },
    encoding: { x, y: { ...y, field: 'y' }, color, fill },
  };
  const published = {
    transform: [{ filter: 'datum.published != null' }],
    encoding: { x, y: { ...y, field: 'y' }, color },
    layer: [
      { mark: { type: 'point', size: 260, strokeWidth: 1, opacity: 1 }, encoding: { fill, shape } },
      {
        mark: { type: 'text', align: 'left', dx: 8, dy: 1, fontSize: 10 },
        encoding: { text: { field: 'published' } },
      },
    ],
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
      ...(chart.series.some((series) => series.published) ? [published] : []),
      ...(failed.length === 0 ? [] : [failures]),
    ],
  };
}

/** Series of one name share a colour, published ones of one source a shape; ideal ones are grey. */
function looksOf(series: readonly Series[]): Look[] {
  const names = [...new Set(series.filter(({ ideal }) => ideal !== true).map(({ name }) => name))];
  const sources = [...new Set(series.flatMap(({ published }) => published?.source ?? []))];
  return series.map(({ name, modelled, ideal, published }): Look => {
    const line = { shape: lineShape, dash: solid };
    if (ideal === true) return { ...line, label: name, colour: grey, fill: 'none', dash: dotted };
    const colour = colours[names.indexOf(name) % colours.length]!;
    if (published !== undefined) {
      const shape = publishedShapes[sources.indexOf(published.source) % publishedShapes.length]!;
      return { ...line, label: `${published.label}: ${published.source}`, colour, fill: colour, shape };
    }
    if (modelled === true) return { ...line, label: `${name}, modelled`, colour, fill: 'none', dash: dashed };
    return { ...line, label: name, colour, fill: colour };
  });
}

/** At most three, as many as are no wider than the chart. */
function legendColumns(looks: readonly Look[], width: number): number {
  const longest = Math.max(0, ...looks.map(({ label }) => label.length));
  return Math.min(3, Math.max(1, Math.floor((width + 60) / (legendRest + legendCharacter * longest))));
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
