import { defineCommand } from './command.js';
import {
  allowCodeChangeOption,
  jobPositional,
  launcherOption,
  place,
  placeAfterEquals,
  setOption,
  traceOption,
  traceOverrides,
} from './options.js';
import { supervise } from './supervise.js';
import { trainingView } from './training-view.js';

export default defineCommand({
  name: 'train',
  summary: 'plan, launch and train a job',
  positionals: { job: jobPositional },
  options: {
    set: setOption,
    'run-dir': place(
      '--run-dir',
      'folder of a new run instead of runs/NAME-TIME, or where --resume looks for one',
    ),
    resume: placeAfterEquals(
      '--resume',
      'continue the newest unfinished run of this job, or with --resume=PATH a run, or a checkpoint (later ones are set aside)',
    ),
    launcher: launcherOption,
    trace: traceOption,
    'allow-code-change': allowCodeChangeOption,
  },
  example: 'train examples/moby-dick/job.toml --set parallel.sp=4',
  async run(args) {
    // Loaded here: commands that launch nothing need no sockets.
    const { launch } = await import('../launch.js');
    const options = {
      overrides: [...args.set, ...traceOverrides(args.trace)],
      runDir: args['run-dir'],
      resume: args.resume,
      launcher: args.launcher,
      allowCodeChange: args['allow-code-change'],
    };
    return supervise((signal) => launch(args.job, { ...options, signal }), trainingView(args.json));
  },
});
