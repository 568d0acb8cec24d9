import { formatCount, formatTable } from '../format.js';
import { findRun } from '../run-folder/find-run.js';
import { type RunStatus, readStatus } from '../run-folder/status.js';
import { defineCommand } from './command.js';
import { runPositional } from './options.js';

export default defineCommand({
  name: 'status',
  summary: 'how a run stands',
  positionals: { run: runPositional },
  options: {},
  example: 'status latest',
  async run(args, terminal) {
    const status = await readStatus(findRun(args.run));
    if (args.json) terminal.printJson(status);
    else terminal.print(formatStatus(status));
    return 0;
  },
});

/** What is known of the run, a fact a row. */
function formatStatus(status: RunStatus): string {
  const { loss, validationLoss, tokensPerSecond, pid, host } = status;
  const rows: [fact: string, value: string | null][] = [
    ['run', status.runDir],
    ['state', status.state],
    ['name', status.name],
    ['launch', String(status.attempt)],
    ['step', `${status.step} of ${status.steps}`],
    ['loss', loss?.toFixed(4) ?? null],
    ['validation loss', validationLoss?.toFixed(4) ?? null],
    ['tokens/s', tokensPerSecond === null ? null : formatCount(Math.round(tokensPerSecond))],
    ['checkpoint', status.checkpoint],
    ['ranks', String(status.numRanks)],
    ['coordinator', pid === null ? null : `process ${pid} on ${host}`],
    ['started', status.startedAt],
    ['ended', status.endedAt],
    ['error', status.error?.message ?? null],
  ];
  return formatTable(rows.flatMap(([fact, value]) => (value === null ? [] : [[fact, value]])));
}
