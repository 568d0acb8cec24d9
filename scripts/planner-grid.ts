import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { isAlone, runAlone } from './limited-link.js';
import { allCells } from './planner-grid/cells.js';
import { measureCandidates, measureCombine, measureMessages } from './planner-grid/measure.js';
import { Ranks } from './planner-grid/ranks.js';

/**
 * Measures every way to run a scan, over links of several rates and delays between processes with a network namespace
 * each: what the planner's choices are compared with. One JSON line for each cell of the grid goes to FILE; cells that
 * are there already are not measured again, so that the grid can be done in pieces of so many seconds.
 *
 *     node scripts/dist/planner-grid.js FILE [SECONDS]
 */
const [file = 'planner-grid.jsonl', seconds = '140'] = process.argv.slice(2);

async function measure(): Promise<void> {
  const end = performance.now() + 1000 * Number(seconds);
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  const done = new Set(lines.filter((line) => line !== '').map((line) => keyOf(JSON.parse(line))));
  const cells = allCells();
  const ranks = await Ranks.start([...new Set(cells.map(({ numRanks }) => numRanks))]);
  const record = async (key: object, make: () => Promise<object>) => {
    if (done.has(keyOf(key)) || performance.now() > end) return;
    const begin = performance.now();
    appendFileSync(file, `${JSON.stringify({ ...key, ...(await make()) })}\n`);
    done.add(keyOf(key));
    console.error(`${keyOf(key)}: ${((performance.now() - begin) / 1000).toFixed(1)} s`);
  };
  try {
    for (const cell of cells) {
      const { stateBytes, transition } = cell;
      const segments = { stateBytes, transition };
      await record({ segments }, async () => ({
        combine: await measureCombine(ranks, segments, [1, 2, 4, 8]),
      }));
      // Messages do not depend on what the states are.
      const links = { ...cell, stateBytes: 0, transition: 'diagonal' as const };
      await record({ links }, async () => ({ messages: await measureMessages(ranks, links) }));
      await record({ cell }, async () => ({ candidates: await measureCandidates(ranks, cell) }));
    }
  } finally {
    ranks.close();
  }
  const numLeft = cells.filter((cell) => !done.has(keyOf({ cell }))).length;
  console.error(`${cells.length - numLeft} of ${cells.length} cells are done`);
}

/** What a row is about. */
function keyOf(row: object): string {
  const [[name, value]] = Object.entries(row) as [[string, object]];
  return `${name} ${JSON.stringify(value)}`;
}

if (isAlone()) await measure();
else process.exitCode = runAlone();
