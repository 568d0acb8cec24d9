import { usage } from '../usage.js';
import { defineCommand } from './command.js';
import { setOption } from './options.js';

/** What a machine lacks is the environment's fault. */
const failedExitCode = 3;

export default defineCommand({
  name: 'doctor',
  summary:
    'look at this machine, and at what a job wants of it: what works, what does not, what to do about it',
  positionals: {
    job: { type: 'string', describe: 'job file (.toml, .yaml or .json); default: the machine alone' },
  },
  options: { set: setOption },
  example: 'doctor examples/moby-dick/job.toml --set device.kind=cuda',
  async run({ job, set, json }, terminal) {
    if (job === undefined && set.length > 0)
      throw usage(
        '--set',
        `${set.join(', ')} without a job`,
        'the job whose keys these are',
        'longscan doctor JOB --set …',
      );
    // A process that a driver holds up would not notice that this one is gone: on exit it is killed.
    process.once('SIGINT', () => process.exit(130)).once('SIGTERM', () => process.exit(143));
    const { examine } = await import('../doctor/examine.js');
    const { formatChecks } = await import('../doctor/check.js');
    const checks = await examine({ job, overrides: set });
    const numFailed = checks.filter(({ status }) => status === 'failed').length;
    if (json) terminal.printJson(checks);
    else {
      terminal.print(formatChecks(checks));
      terminal.print(numFailed === 0 ? 'nothing failed' : `${numFailed} failed`);
    }
    return numFailed === 0 ? 0 : failedExitCode;
  },
});
