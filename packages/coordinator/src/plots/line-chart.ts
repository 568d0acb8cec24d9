import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import type { Chart } from './chart.js';
import { checkChart } from './check-chart.js';
import { inTheme, theme } from './theme.js';
import { unitSpec } from './unit-spec.js';

/**
 * A line chart as the text of an SVG file, drawn by Vega without a DOM. It has no background and follows the reader's light or
 * dark theme.
 *
 * @throws TypeError for a value that its axis cannot show: not finite, or not positive on a logarithmic axis.
 */
export async function lineChart(chart: Chart): Promise<string> {
  return draw({ ...theme, ...unitSpec(checkChart(chart)) }, chart.title);
}

/** Several charts in one SVG file, two in a row, each with a legend of its own, under one title. */
export async function chartPanel(
  { title, subtitle }: { readonly title: string; readonly subtitle: string },
  charts: readonly Chart[],
): Promise<string> {
  const own = { color: 'independent', fill: 'independent', strokeDash: 'independent' };
  const concat = charts.map((chart) => unitSpec(checkChart(chart)));
  const about = { title: { text: title, subtitle, offset: 24 }, resolve: { scale: own } };
  return draw({ ...theme, ...about, concat, columns: 2, spacing: 28, align: 'all' }, title);
}

async function draw(spec: object, title: string): Promise<string> {
  const compiled = compile(spec as TopLevelSpec);
  return inTheme(await new View(parse(compiled.spec), { renderer: 'none' }).toSVG(), title);
}
