import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import { axisOf, scaleOf } from './axes.js';
import type { Chart, Series } from './chart.js';
import { colours, grey, inTheme, red, theme } from './theme.js';

/** Of a series as the legend names it. */
interface Look {
  readonly label: string;
  readonly colour: string;
  readonly fill: string;
  readonly dash: readonly number[];
}

const solid = [1, 0];
const dashed = [6, 4];
const dotted = [2, 3];

/**
 * A line chart as the text of an SVG file, drawn by Vega. It has no background and follows the reader's light or dark theme.
 *
 * @throws TypeError for a value that its axis cannot show: not finite, or not positive on a logarithmic axis.
 */
export async function lineChart(chart: Chart): Promise<string> {
  checkValues(chart);
  const { spec } = compile(specOf(chart));
  const svg = await new View(parse(spec), { renderer: 'none' }).toSVG();
  return inTheme(svg, chart.title);
}

function specOf(chart: Chart): TopLevelSpec {
  const { title, subtitle, spread = 'bars', width = 480, height = 280 } = chart;
  const looks = looksOf(chart.series);
  const rows = chart.series.flatMap((series, i) =>
    series.points.map((point) => ({ ...point, series: looks[i]!.label, ideal: series.ideal === true })),
  );
  const failed = chart.series.flatMap((series, i) =>
    (series.failed ?? []).map((point) => ({ ...point, series: looks[i]!.label })),
  );
  const domain = looks.map(({ label }) => label);
  const ofSeries = <T>(range: readonly T[]) => ({
    field: 'series',
    type: 'nominal' as const,
    scale: { domain, range: [...range] as never[] },
    legend: { title: null },
  });
  const color = ofSeries(looks.map(({ colour }) => colour));
  const xs = [...rows, ...failed].map(({ x }) => x);
  const x = {
    field: 'x',
    type: 'quantitative' as const,
    scale: { ...scaleOf(chart.x.scale, false), nice: chart.x.scale === 'linear' },
    axis: axisOf(chart.x.scale, xs),
    title: chart.x.label,
  };
  const ys = rows.flatMap(({ y, low, high }) => [y, low ?? y, high ?? y]);
  const { scale: yScale = 'linear', unit, label, zero = true } = chart.y;
  const yAxis = {
    type: 'quantitative' as const,
    scale: { ...scaleOf(yScale, zero), nice: true },
    axis: axisOf(yScale, ys),
    title: unit === '' ? label : `${label} (${unit})`,
  };
  const hasSpread = 'datum.low != null && datum.high != null';
  const line = {
    mark: { type: 'line' as const, strokeWidth: 2 },
    encoding: {
      x,
      y: { ...yAxis, field: 'y' },
      color,
      strokeDash: ofSeries(looks.map(({ dash }) => dash)),
    },
  };
  const spreadMark =
    spread === 'band'
      ? { type: 'area', opacity: 0.2 }
      : { type: 'errorbar', ticks: { size: 7 }, thickness: 1.5 };
  const spreads = {
    transform: [{ filter: hasSpread }],
    mark: spreadMark,
    encoding: { x, y: { ...yAxis, field: 'low' }, y2: { field: 'high' }, color },
  };
  const markers = {
    transform: [{ filter: '!datum.ideal' }],
    mark: { type: 'point' as const, size: 55, strokeWidth: 2, opacity: 1 },
    encoding: {
      x,
      y: { ...yAxis, field: 'y' },
      color,
      fill: ofSeries(looks.map(({ fill }) => fill)),
    },
  };
  const failures = {
    data: { values: failed },
    encoding: { x, y: { value: height - 9 }, description: { field: 'reason', type: 'nominal' as const } },
    layer: [
      {
        mark: {
          type: 'point' as const,
          shape: 'cross',
          angle: 45,
          size: 90,
          filled: true,
          color: red,
          opacity: 1,
        },
      },
      { mark: { type: 'text' as const, text: 'failed', dy: -13, color: red, fontSize: 11 } },
    ],
  };
  return {
    ...theme,
    title: { text: title, ...(subtitle === undefined ? {} : { subtitle }) },
    ...{ width, height },
    data: { values: rows },
    layer: [
      ...(spread === 'band' ? [spreads, line] : [line, spreads, markers]),
      ...(failed.length === 0 ? [] : [failures]),
    ],
  } as TopLevelSpec;
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

function checkValues({ title, x, y, series }: Chart): void {
  const check = (value: number, scale: Chart['x']['scale'], what: string): void => {
    if (Number.isFinite(value) && (scale === 'linear' || value > 0)) return;
    throw new TypeError(`chart ${JSON.stringify(title)}: ${what} = ${value} on a ${scale} axis`);
  };
  for (const { name, points, failed = [] } of series) {
    for (const point of [...points, ...failed]) check(point.x, x.scale, `x of ${name}`);
    for (const { y: value, low = value, high = value } of points)
      for (const each of [value, low, high]) check(each, y.scale ?? 'linear', `y of ${name}`);
  }
}
