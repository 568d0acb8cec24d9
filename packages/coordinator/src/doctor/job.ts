import { neededBytes, tooFewGpus } from '@longscan/worker';
import type { JobSpec, Plan } from '@longscan/worker/protocol';
import { assumedFabric, isProbed } from '../fabric/load-fabric.js';
import { formatBytes } from '../format.js';
import type { LayerCode } from '../layer-code/layer-code.js';
import { withLayerCode } from '../layer-code/with-layer-code.js';
import { memoryLimit } from '../plan/memory-limit.js';
import { bundleLayers, withBundleFiles } from '../run-folder/bundle-layer.js';
import { loadJob } from '../spec/index.js';
import { type Check, checkOf } from './check.js';
import type { Gpu } from './gpus.js';
import { failuresOf } from './guarded.js';
import { limitOnGpus } from './limit-on-gpus.js';

/** What a job file came to. */
export interface ExaminedJob {
  readonly checks: readonly Check[];
  /** Null: the file is wrong. */
  readonly jobSpec: JobSpec | null;
  /** Null: it cannot be planned. */
  readonly plan: Plan | null;
}

/** Reads and plans a job as `longscan plan` does, but starts no ranks to probe links. `signal` ends that. */
export async function examineJob(
  file: string,
  overrides: readonly string[],
  signal: AbortSignal,
): Promise<ExaminedJob> {
  let jobSpec: JobSpec;
  try {
    jobSpec = (await loadJob(file, { overrides })).jobSpec;
  } catch (error) {
    return { checks: failuresOf('job', error), jobSpec: null, plan: null };
  }
  const read: Check[] = [
    { name: 'job', status: 'ok', found: `${file}: every key is right` },
    { name: 'data', status: 'ok', found: jobSpec.data.path },
  ];
  try {
    const links = isProbed(jobSpec) ? assumedFabric(jobSpec) : undefined;
    const plan = await withCode(jobSpec, signal, (code) => code.compute('planJob', jobSpec, links));
    const { sp, dp } = plan.mesh;
    const found = `${sp} x ${dp} ranks (sp x dp) on ${jobSpec.device.kind}, ${plan.strategy}, ${formatBytes(neededBytes(plan))} each`;
    return { checks: [...read, { name: 'plan', status: 'ok', found }], jobSpec, plan };
  } catch (error) {
    return { checks: [...read, ...failuresOf('plan', error)], jobSpec, plan: null };
  }
}

/** What a planned job wants of this machine, `gpus` being those that it has. `signal` ends that. */
export async function checkPlan(
  plan: Plan,
  gpus: readonly Gpu[],
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const { jobSpec } = plan;
  const { numRanks } = plan.mesh;
  const { kind, share } = jobSpec.device;
  if (kind === 'cuda' && gpus.length === 0) return [];
  const checks: Check[] = [];
  if (kind === 'cuda') {
    if (gpus.length < numRanks && !share) {
      checks.push(checkOf('job gpus', 'failed', tooFewGpus(gpus.length, numRanks).parts));
    } else {
      const turns = gpus.length < numRanks ? ', which take turns (device.share)' : '';
      const found = `${gpus.length} for ${numRanks} ${numRanks === 1 ? 'rank' : 'ranks'}${turns}`;
      checks.push({ name: 'job gpus', status: 'ok', found });
    }
  }
  const shared = kind === 'cuda' ? gpus : undefined;
  try {
    await withCode(jobSpec, signal, (code) => code.compute('checkMemory', plan, shared));
    const limit = (shared ? limitOnGpus(shared) : memoryLimit)(jobSpec);
    const room = limit === null ? '' : ` of ${formatBytes(limit.bytes)} (${limit.reason})`;
    checks.push({
      name: 'job memory',
      status: 'ok',
      found: `${formatBytes(neededBytes(plan))} a rank${room}`,
    });
  } catch (error) {
    checks.push(...failuresOf('job memory', error));
  }
  return checks;
}

/** Computes with the code of a job's layers. */
async function withCode<T>(
  { model, job }: JobSpec,
  signal: AbortSignal,
  body: (code: LayerCode) => Promise<T>,
): Promise<T> {
  return withBundleFiles(await bundleLayers(model.layers), (modules) =>
    withLayerCode(modules, { name: job.name, signal }, body),
  );
}
