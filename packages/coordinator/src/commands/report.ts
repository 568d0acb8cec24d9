import { findRun } from '../run-folder/find-run.js';
import { defineCommand } from './command.js';
import { runPositional } from './options.js';

export default defineCommand({
  name: 'report',
  summary: "a run's course as one HTML page with charts; merges its traces",
  positionals: { run: runPositional },
  options: {},
  example: 'report latest',
  async run(args, terminal) {
    const runDir = findRun(args.run);
    // Loaded here: no other command about a run needs the plotting library.
    const { reportRun } = await import('../run-report/report-run.js');
    const report = await reportRun(runDir);
    if (args.json) terminal.printJson(report);
    else {
      for (const note of report.notes) terminal.note(note);
      terminal.print(report.path);
    }
    return 0;
  },
});
