import { readFileSync } from 'node:fs';
import type { Candidate, Cell } from './planner-grid/cells.js';
import { modelOf } from './planner-grid/model.js';
import { type GridRow, median } from './planner-grid/row.js';

/**
 * What the planner chooses for the cells of a measured grid, against the fastest that was measured: a Markdown table, misses
 * marked, and how many choices are within 5 % of the best.
 *
 *     node scripts/dist/planner-choices.js FILE
 */
const file = process.argv[2] ?? 'planner-grid.jsonl';
const near = 1.05;

const rows = readFileSync(file, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as GridRow);
const model = await modelOf(rows);

function describe({ strategy, options: { blocks, ranksPerNode } }: Candidate): string {
  if (strategy === 'all-scan') return `${strategy} ${blocks}`;
  return strategy === 'two-level' ? `${strategy} ${ranksPerNode}` : strategy;
}

const ms = (seconds: number) => (1000 * seconds).toPrecision(3);
const size = (bytes: number) => (bytes < 2 ** 20 ? `${bytes / 2 ** 10} KiB` : `${bytes / 2 ** 20} MiB`);
const nameOf = ({ mbitPerS, delayMs, numRanks, stateBytes, transition }: Cell) =>
  [mbitPerS ?? 'no limit', delayMs, numRanks, size(stateBytes), transition].join(' | ');

console.log(
  '| Mbit/s | delay, ms | ranks | state | M | fastest measured | ms | chosen | modelled, ms | measured, ms | ratio |',
);
console.log('| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |');
const ratios: number[] = [];
for (const { cell, candidates } of rows) {
  if (cell === undefined || candidates === undefined) continue;
  const [chosen] = model(cell);
  if (chosen === undefined) throw new Error(`nothing can run ${nameOf(cell)}`);
  const times = candidates.map((one) => ({ one, seconds: median(one.samples) }));
  const best = times.reduce((a, b) => (b.seconds < a.seconds ? b : a));
  const found = times.find(({ one }) => describe(one) === describe(chosen));
  if (found === undefined) throw new Error(`${describe(chosen)} was not measured for ${nameOf(cell)}`);
  const ratio = found.seconds / best.seconds;
  ratios.push(ratio);
  const mark = ratio > near ? ' **miss**' : '';
  const cells = [
    nameOf(cell),
    describe(best.one),
    ms(best.seconds),
    describe(chosen),
    ms(chosen.seconds),
    ms(found.seconds),
  ];
  console.log(`| ${cells.join(' | ')} | ${ratio.toFixed(2)}${mark} |`);
}
const hits = ratios.filter((ratio) => ratio <= near).length;
console.log(
  `\n${hits} of ${ratios.length} choices within 5 % of the fastest (${((100 * hits) / ratios.length).toFixed(0)} %)`,
);
