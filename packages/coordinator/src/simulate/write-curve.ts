import path from 'node:path';
import { writeRunFile } from '../run-folder/run-folder.js';
import type { Mode } from '../scaling/modes.js';
import type { Crossing } from './crossings.js';
import { curveCharts } from './report.js';
import type { SimulatedRow } from './simulate-curve.js';

/** A modelled curve as its file has it. */
export interface CurveFile {
  readonly mode: Mode;
  /** The job's name. */
  readonly job: string;
  readonly rows: readonly SimulatedRow[];
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
  for (const [name, chart] of Object.entries(curveCharts(curve.rows, curve.mode, curve.job)))
    files.push([`simulated-${name}.svg`, await lineChart(chart)]);
  for (const [name, text] of files) writeRunFile(dir, name, text);
  return files.map(([name]) => path.resolve(dir, name));
}
