import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plan } from '@longscan/worker/protocol';
import { isFabricPath, isProbed } from '../fabric/load-fabric.js';
import { type LaunchRequest, loadLauncher } from '../launcher.js';
import { bundleLayers, withBundleFiles } from '../run-folder/bundle-layer.js';
import { runFiles } from '../run-folder/run-folder.js';
import { defineCommand } from './command.js';
import { interruptible } from './interruptible.js';
import { jobPositional, setOption } from './options.js';

export default defineCommand({
  name: 'plan',
  summary:
    'what a job would do: mesh, slices, memory, modelled time of a step and of each strategy; trains nothing',
  positionals: { job: jobPositional },
  options: {
    set: setOption,
    fabric: {
      ...{ type: 'string', nargs: 1 },
      describe:
        'links between ranks: a preset, a fabric file, or probe, which starts the ranks for a second or two; default: as in the job',
    },
    compute: {
      ...{ type: 'string', nargs: 1 },
      describe: 'what ops cost: a preset or a file of bench step --save; default: by device.kind',
    },
    print: { type: 'boolean', default: false, describe: 'also show what the launcher would run' },
  },
  example: 'plan examples/moby-dick/job.toml --set parallel.sp=4',
  async run(args, terminal) {
    const { loadJob } = await import('../spec/index.js');
    const { planOnLinks } = await import('../probe/plan-on-links.js');
    const { isForeign, withLayerCode } = await import('../layer-code/with-layer-code.js');
    const { formatPlan } = await import('../plan/index.js');
    const { formatStepTime } = await import('../plan/format-step-time.js');
    const fabric = args.fabric === undefined ? [] : [`parallel.fabric=${atPlace(args.fabric)}`];
    const { jobSpec } = await loadJob(args.job, { overrides: [...args.set, ...fabric] });
    const { plan, step } = await withBundleFiles(await bundleLayers(jobSpec.model.layers), (modules) => {
      const planned = async (signal?: AbortSignal) => {
        const { plan } = await planOnLinks(jobSpec, modules, { signal });
        const name = jobSpec.job.name;
        const step = await withLayerCode(modules, { name, signal }, (code) =>
          code.compute('stepTime', plan, args.compute),
        );
        return { plan, step };
      };
      // Where neither a rank nor a thread is started a signal ends the process as ever.
      return isProbed(jobSpec) || isForeign(modules) ? interruptible(planned) : planned();
    });
    const request = args.print ? await requestFor(plan) : null;
    if (args.json) terminal.printJson({ ...plan, step, ...(request !== null && { request }) });
    else {
      terminal.print(formatPlan(plan));
      if (step !== null) terminal.print(`\n${formatStepTime(step)}`);
      if (request !== null) terminal.print(`\n${formatRequest(request)}`);
    }
    return 0;
  },
});

/** Files of the command line count from the working directory, those of a job from the job file. */
function atPlace(fabric: string): string {
  return isFabricPath(fabric) ? resolve(fabric) : fabric;
}

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
