import { join } from 'node:path';
import { writeRunFile } from '../run-folder/run-folder.js';
import { scalingCharts } from './charts.js';
import { describeMachine } from './machine.js';
import { modeTitles } from './modes.js';
import { scalingReport } from './report.js';
import type { Scaling } from './scaling-file.js';
import { scalingRows } from './summary.js';

/**
 * Draws a curve: `scaling.svg` with all metrics, `scaling-<metric>.svg` with each, and `report.html` with all of them in it.
 *
 * @returns absolute paths of what was written, the report first.
 */
export async function writeOutputs(
  dir: string,
  scaling: Scaling,
  notes: readonly string[],
): Promise<string[]> {
  // Loaded here, since nothing else of a curve needs the plotting library.
  const { chartPanel, lineChart } = await import('../plots/line-chart.js');
  const rows = scalingRows(scaling);
  const { mode, machine, job } = scaling;
  const subtitle = `${job.spec.job.name}; ${describeMachine(machine)}; bars: 5th to 95th percentile`;
  const charts = scalingCharts(rows, mode, subtitle);
  const files: [string, string][] = [];
  if (charts.length > 0) {
    const panel = await chartPanel(
      `${job.spec.job.name}, ${modeTitles[mode]}`,
      charts.map(({ chart }) => chart),
    );
    files.push(['scaling.svg', panel]);
  }
  const svgs = await Promise.all(charts.map(({ chart }) => lineChart(chart)));
  for (const [i, { name }] of charts.entries()) files.push([`scaling-${name}.svg`, svgs[i]!]);
  files.unshift(['report.html', scalingReport(scaling, rows, svgs, notes)]);
  for (const [name, text] of files) writeRunFile(dir, name, text);
  return files.map(([name]) => join(dir, name));
}
