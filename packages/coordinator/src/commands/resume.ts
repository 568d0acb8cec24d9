import { join } from 'node:path';
import { findRun } from '../run-folder/find-run.js';
import { runFiles } from '../run-folder/run-folder.js';
import { defineCommand } from './command.js';
import {
  allowCodeChangeOption,
  launcherOption,
  runPositional,
  setOption,
  traceOption,
  traceOverrides,
} from './options.js';
import { supervise } from './supervise.js';
import { trainingView } from './training-view.js';

export default defineCommand({
  name: 'resume',
  summary: 'continue a run in its own folder',
  positionals: { run: runPositional },
  options: {
    set: setOption,
    launcher: launcherOption,
    trace: traceOption,
    'allow-code-change': allowCodeChangeOption,
  },
  example: 'resume latest --set job.steps=1000',
  async run(args) {
    const runDir = findRun(args.run);
    const { launch } = await import('../launch.js');
    const options = {
      overrides: [...args.set, ...traceOverrides(args.trace)],
      runDir,
      resume: runDir,
      launcher: args.launcher,
      allowCodeChange: args['allow-code-change'],
    };
    const job = join(runDir, runFiles.resolvedJob);
    return supervise((signal) => launch(job, { ...options, signal }), trainingView(args.json));
  },
});
