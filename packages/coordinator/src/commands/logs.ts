import type { LongscanError } from '@longscan/worker/protocol';
import { findRun } from '../run-folder/find-run.js';
import { readLogs, readStatus } from '../run-folder/status.js';
import { usage } from '../usage.js';
import { defineCommand } from './command.js';
import { runPositional, wholeNumber } from './options.js';

export default defineCommand({
  name: 'logs',
  summary: 'the last lines that the ranks of a run wrote',
  positionals: { run: runPositional },
  options: {
    rank: wholeNumber('--rank', 'of this rank only'),
    lines: { ...wholeNumber('--lines', 'lines of each rank'), default: '50' },
  },
  example: 'logs latest --rank 1 --lines 20',
  async run(args, terminal) {
    const runDir = findRun(args.run);
    const { numRanks } = await readStatus(runDir);
    const all = Array.from({ length: numRanks }, (_, rank) => rank);
    const ranks = args.rank === undefined ? all : all.filter((rank) => rank === args.rank);
    if (ranks.length === 0) throw noSuchRank(args.rank, numRanks);
    const logs = await Promise.all(
      ranks.map(async (rank) => ({ rank, lines: await readLogs(runDir, rank, args.lines) })),
    );
    if (args.json) terminal.printJson({ runDir, logs });
    else
      for (const { rank, lines } of logs) for (const line of lines) terminal.print(`rank ${rank} | ${line}`);
    return 0;
  },
});

function noSuchRank(rank: number | undefined, numRanks: number): LongscanError {
  const expected = numRanks === 1 ? '0, the only rank' : `a rank from 0 to ${numRanks - 1}`;
  return usage('longscan logs --rank', String(rank), expected, 'name such a rank');
}
