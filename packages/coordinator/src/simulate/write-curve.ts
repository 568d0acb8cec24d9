import path from 'node:path';
import { writeFileOnDisk } from '../run-folder/on-disk.js';
import type { Mode } from '../scaling/modes.js';
import type { Crossing } from './crossings.js';
import type { PublishedCurve } from './published-curve.js';
import { curveCharts } from './report.js';
import type { SimulatedRow } from './simulate-curve.js';

/** A modelled curve as its file has it. */
export interface CurveFile {
  readonly mode: Mode;
  /** The job's name. */
  readonly job: string;
  readonly rows: readonly SimulatedRow[];
  /** What papers have measured in the curve's range. */
  readonly published: readonly PublishedCurve[];
  readonly crossings: readonly Crossing[];
  readonly notes: readonly string[];
}

/** Writes `simulated.json` and a chart of each metric; gives absolute paths. */
export async function writeCurve(dir: string, curve: CurveFile): Promise<string[]> {
  // Loaded here, since nothing else of a simulation needs the plotting library.
  const { lineChart } = await import('../plots/line-chart.js');
  const files: [name: string, text: string][] = [
    ['simulated.json', `${JSON.stringify({ schema: 1, ...curve }, null, 2)}\n`],
  ];
  const charts = curveCharts(curve.rows, curve.mode, curve.job, curve.published);
  for (const [name, chart] of Object.entries(charts))
    files.push([`simulated-${name}.svg`, await lineChart(chart)]);
  for (const [name, text] of files) writeFileOnDisk(path.join(dir, name), text, '--out');
  return files.map(([name]) => path.resolve(dir, name));
}
