import path from 'node:path';
import { writeFileOnDisk } from '../run-folder/on-disk.js';
import type { Reproduction } from './cells.js';
import { reproductionChart } from './report.js';

/** Writes `papers.json` and a chart of each table; gives absolute paths. */
export async function writeReproductions(
  dir: string,
  made: readonly { readonly name: string; readonly reproduction: Reproduction }[],
): Promise<string[]> {
  // Loaded here, since nothing else of this needs the plotting library.
  const { lineChart } = await import('../plots/line-chart.js');
  const files: [name: string, text: string][] = [
    ['papers.json', `${JSON.stringify({ schema: 1, tables: made }, null, 2)}\n`],
  ];
  for (const { name, reproduction } of made)
    files.push([`${name}.svg`, await lineChart(reproductionChart(reproduction))]);
  for (const [name, text] of files) writeFileOnDisk(path.join(dir, name), text, '--out');
  return files.map(([name]) => path.resolve(dir, name));
}
