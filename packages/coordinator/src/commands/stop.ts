import { findRun } from '../run-folder/find-run.js';
import { readStatus } from '../run-folder/status.js';
import { requestStop } from '../run-folder/stop-request.js';
import { defineCommand } from './command.js';
import { runPositional } from './options.js';

export default defineCommand({
  name: 'stop',
  summary: 'make a run save and end, and wait until it has',
  positionals: { run: runPositional },
  options: {},
  example: 'stop latest',
  async run(args, terminal) {
    const runDir = findRun(args.run);
    await requestStop(runDir, { save: true });
    const status = await readStatus(runDir);
    if (args.json) terminal.printJson(status);
    else terminal.print(`${runDir} ended at step ${status.step}; checkpoint ${status.checkpoint ?? 'none'}`);
    return 0;
  },
});
