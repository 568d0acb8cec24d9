import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Plan } from '@longscan/worker/protocol';
import { type LaunchRequest, loadLauncher } from '../launcher.js';
import { formatPlan, planToRun } from '../plan/index.js';
import { bundleLayers, withBundleFiles } from '../run-folder/bundle-layer.js';
import { runFiles } from '../run-folder/run-folder.js';
import { loadJob } from '../spec/index.js';
import { defineCommand } from './command.js';
import { jobPositional, setOption } from './options.js';

export default defineCommand({
  name: 'plan',
  summary: 'what a job would do: mesh, slices, memory, modelled time of each strategy; launches nothing',
  positionals: { job: jobPositional },
  options: {
    set: setOption,
    print: { type: 'boolean', default: false, describe: 'also show what the launcher would run' },
  },
  example: 'plan examples/moby-dick/job.toml --set parallel.sp=4',
  async run(args, terminal) {
    const { jobSpec } = await loadJob(args.job, { overrides: args.set });
    const plan = await withBundleFiles(await bundleLayers(jobSpec.model.layers), (modules) =>
      planToRun(jobSpec, modules),
    );
    const request = args.print ? await requestFor(plan) : null;
    if (args.json) terminal.printJson(request === null ? plan : { ...plan, request });
    else {
      terminal.print(formatPlan(plan));
      if (request !== null) terminal.print(`\n${formatRequest(request)}`);
    }
    return 0;
  },
});

async function requestFor(plan: Plan): Promise<LaunchRequest> {
  const launcher = await loadLauncher(plan.jobSpec.launch.launcher);
  const main = fileURLToPath(import.meta.resolve('@longscan/worker/main'));
  const command = [process.execPath, main] as const;
  return launcher.request(plan, { command, logDir: runFiles.logs, numCores: availableParallelism() });
}

/** One line per rank, as a shell would take it. */
function formatRequest({ launcher, ranks }: LaunchRequest): string {
  const lines = ranks.map(({ host, command, env }) => {
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    return `${host}: ${[...variables, ...command].join(' ')}`;
  });
  return [`launcher ${launcher}, besides the coordinator's address and key file:`, ...lines].join('\n');
}
