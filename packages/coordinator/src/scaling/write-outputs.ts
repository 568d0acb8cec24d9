import { join } from 'node:path';
import { writeFileOnDisk } from '../run-folder/on-disk.js';
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
  const { mode, job } = scaling;
  const subtitle = subtitleOf(scaling);
  const charts = scalingCharts(rows, mode);
  const files: [string, string][] = [];
  if (charts.length > 0) {
    const title = `${job.spec.job.name}, ${modeTitles[mode]}`;
    const panel = await chartPanel(
      { title, subtitle },
      charts.map(({ chart }) => chart),
    );
    files.push(['scaling.svg', panel]);
  }
  const svgs = await Promise.all(
    charts.map(({ chart }) =>
      lineChart({ ...chart, title: `${chart.title}, ${modeTitles[mode]}`, subtitle }),
    ),
  );
  for (const [i, { name }] of charts.entries()) files.push([`scaling-${name}.svg`, svgs[i]!]);
  files.unshift(['report.html', scalingReport(scaling, rows, svgs, notes)]);
  for (const [name, text] of files) writeFileOnDisk(join(dir, name), text, '--out');
  return files.map(([name]) => join(dir, name));
}

/** What a reader has to know of every point: where it was measured, and what the bars are. */
function subtitleOf({ machine, job, points }: Scaling): string {
  const { kind, threads } = job.spec.device;
  const isSharing = (numRanks: number) => kind === 'cpu' && numRanks * Number(threads) > machine.cores;
  const sharing = points.filter(({ sp, dp }) => isSharing(sp * dp)).map(({ sp }) => sp);
  return [
    describeMachine(machine),
    ...(sharing.length === 0 ? [] : [`ranks share cores from sp = ${Math.min(...sharing)} on`]),
    'bars: 5th to 95th percentile',
  ].join('; ');
}
