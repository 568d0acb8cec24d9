import type { JobSpec, Plan } from '@longscan/worker/protocol';
import { assumedFabric } from '../fabric/load-fabric.js';
import { bundleLayers, withBundleFiles } from '../run-folder/bundle-layer.js';
import type { RunTaskOptions } from '../run-task.js';
import { usage } from '../usage.js';
import { interruptible } from './interruptible.js';
import { setOption, wholeNumber } from './options.js';

const usualRanks = 2;

export const groupPositionals = {
  job: {
    type: 'string',
    describe: `job file whose ranks are measured; default: ${usualRanks} ranks on this machine`,
  },
} as const;

export const groupOptions = {
  set: setOption,
  sp: wholeNumber('--sp', 'ranks of a sequence, in place of parallel.sp', 65_536),
  device: { type: 'string', nargs: 1, choices: ['cpu', 'cuda'], describe: 'where; default: as in the job' },
} as const;

/** Flags that say whose ranks are measured. */
export interface JobArgs {
  readonly job: string | undefined;
  readonly sp: number | undefined;
  readonly device: string | undefined;
  readonly set: readonly string[];
}

/** The job whose ranks are measured: a file's, or so many ranks of this machine. Its text is not looked for. */
export async function jobOfGroup({ job, sp, device, set }: JobArgs): Promise<JobSpec> {
  if (sp === 0) throw usage('--sp', '0', 'at least one rank', '--sp 2');
  const numRanks = sp ?? (job === undefined ? usualRanks : undefined);
  // A slice needs a chunk of 64 tokens, whatever is done with it.
  const links = { data: { path: 'no text', sequenceLength: 64 * (numRanks ?? 1) } };
  const overrides = [
    ...(numRanks === undefined ? [] : [`parallel.sp=${numRanks}`]),
    ...set,
    ...(device === undefined ? [] : [`device.kind=${device}`]),
  ];
  const { loadJob } = await import('../spec/index.js');
  const { jobSpec } = await loadJob(job ?? links, { overrides, readsText: false });
  if (jobSpec.parallel.sp * jobSpec.parallel.dp > 1) return jobSpec;
  throw usage(
    sp === undefined ? 'parallel.sp' : '--sp',
    'one rank, which has no links',
    'two or more',
    '--sp 2',
  );
}

/** Plans the job and has `measure` start its ranks. A signal ends either. */
export async function onGroup<T>(
  jobSpec: JobSpec,
  measure: (
    plan: Plan,
    layerModules: Readonly<Record<string, string>>,
    options: RunTaskOptions,
  ) => Promise<T>,
): Promise<T> {
  const { withLayerCode } = await import('../layer-code/with-layer-code.js');
  return withBundleFiles(await bundleLayers(jobSpec.model.layers), (modules) =>
    interruptible(async (signal) => {
      const plan = await withLayerCode(modules, { name: jobSpec.job.name, signal }, (code) =>
        code.compute('planJob', jobSpec, assumedFabric(jobSpec)),
      );
      return measure(plan, modules, { signal });
    }),
  );
}
