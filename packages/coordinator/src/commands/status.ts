import { formatTable } from '../format.js';
import { findRun } from '../run-folder/find-run.js';
import { readStatus } from '../run-folder/status.js';
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
    else {
      const { steps, error, ...rest } = status;
      const rows = Object.entries({
        ...rest,
        step: `${status.step} of ${steps}`,
        error: error?.message ?? null,
      });
      const told = rows.filter(([, value]) => value !== null);
      terminal.print(formatTable(told.map(([key, value]) => [key, String(value)])));
    }
    return 0;
  },
});
