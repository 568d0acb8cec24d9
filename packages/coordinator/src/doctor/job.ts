import { neededBytes, tooFewGpus, usablePart } from '@longscan/worker';
import type { JobSpec, Plan } from '@longscan/worker/protocol';
import { assumedFabric, isProbed } from '../fabric/load-fabric.js';
import { formatBytes } from '../format.js';
import { checkMemory } from '../plan/check-memory.js';
import { memoryLimit } from '../plan/memory-limit.js';
import { planJob } from '../plan/plan-job.js';
import { bundleLayers, withBundleFiles } from '../run-folder/bundle-layer.js';
import { loadJob } from '../spec/index.js';
import { type Check, checkOf } from './check.js';
import type { Gpu } from './gpus.js';
import { failuresOf } from './guarded.js';

/** What a job file came to. */
export interface ExaminedJob {
  readonly checks: readonly Check[];
  /** Null: the file is wrong. */
  readonly jobSpec: JobSpec | null;
  /** Null: it cannot be planned. */
  readonly plan: Plan | null;
}

/** Reads and plans a job as `longscan plan` does, but starts no ranks to probe links. */
export async function examineJob(file: string, overrides: readonly string[]): Promise<ExaminedJob> {
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
    const plan = await withLayers(jobSpec, (modules) => planJob(jobSpec, modules, links));
    const { sp, dp } = plan.mesh;
    const found = `${sp} x ${dp} ranks (sp x dp) on ${jobSpec.device.kind}, ${plan.strategy}, ${formatBytes(neededBytes(plan))} each`;
    return { checks: [...read, { name: 'plan', status: 'ok', found }], jobSpec, plan };
  } catch (error) {
    return { checks: [...read, ...failuresOf('plan', error)], jobSpec, plan: null };
  }
}

/** What a planned job wants of this machine, `gpus` being those that it has. */
export async function checkPlan(plan: Plan, gpus: readonly Gpu[]): Promise<readonly Check[]> {
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
  const limitOf = kind === 'cuda' ? limitOnGpus(gpus) : memoryLimit;
  try {
    await withLayers(jobSpec, (modules) => checkMemory(plan, modules, limitOf));
    const limit = limitOf(jobSpec);
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

/** What is free now on the fullest GPU that a rank gets, or what `device.memory` allows if that is less. */
function limitOnGpus(gpus: readonly Gpu[]): typeof memoryLimit {
  return (job) => {
    const numRanks = job.parallel.sp * job.parallel.dp;
    const used = gpus.slice(0, numRanks);
    const free = Math.min(...used.map((gpu) => Math.min(gpu.freeBytes, usablePart * gpu.totalBytes)));
    const perGpu = Math.ceil(numRanks / used.length);
    const shared = perGpu === 1 ? '' : `, over ${perGpu} ranks`;
    const here = {
      bytes: free / perGpu,
      reason: `what tensors can have now of the GPU with least free${shared}`,
    };
    const given = memoryLimit(job);
    return given !== null && given.bytes < here.bytes ? given : here;
  };
}

async function withLayers<T>(
  { model }: JobSpec,
  body: (modules: Readonly<Record<string, string>>) => Promise<T>,
): Promise<T> {
  return withBundleFiles(await bundleLayers(model.layers), body);
}
