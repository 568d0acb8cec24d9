import type { AxisScale, Chart } from './chart.js';

/**
 * A chart whose every value can be shown: a plotting library would leave out the others without a word.
 *
 * @throws TypeError for a value that is not finite, or not positive on a logarithmic axis
 */
export function checkChart(chart: Chart): Chart {
  const { title, x, y, series } = chart;
  const check = (value: number, scale: AxisScale, what: string): void => {
    if (Number.isFinite(value) && (scale === 'linear' || value > 0)) return;
    throw new TypeError(`chart ${JSON.stringify(title)}: ${what} = ${value} on a ${scale} axis`);
  };
  for (const { name, points, failed = [] } of series) {
    for (const point of [...points, ...failed]) check(point.x, x.scale, `x of ${name}`);
    for (const { y: value, low = value, high = value } of points)
      for (const each of [value, low, high]) check(each, y.scale ?? 'linear', `y of ${name}`);
  }
  return chart;
}
