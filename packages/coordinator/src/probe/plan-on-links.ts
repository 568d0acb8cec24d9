import type { JobSpec, Plan } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';
import type { FabricFile } from '../fabric/fabric-file.js';
import { assumedFabric, isProbed } from '../fabric/load-fabric.js';
import type { LayerModules } from '../layer-code/computations.js';
import { withLayerCode } from '../layer-code/with-layer-code.js';
import { probedFabric } from './probed-fabric.js';

export interface ProbeOptions {
  /** What an earlier probe of the same ranks has found; null: nothing is known. */
  readonly kept?: FabricFile | null;
  /** Ends a probe under way, and planning that code of the user's takes part in. */
  readonly signal?: AbortSignal | undefined;
}

export interface PlanOnLinks {
  readonly plan: Plan;
  /** What the plan's links were probed to be; null: the job names links, or has none. */
  readonly probed: FabricFile | null;
}

/**
 * Plans a job that is to run. Where it says `parallel.fabric = "probe"`, its ranks are started once before that to measure their
 * links, but not before all else is known to be right.
 *
 * @param layerModules Bundled module of each layer file outside the packages, by the file's path.
 * @throws LongscanError what `planToRun`, `LayerCode.compute` and `probeLinks` throw
 */
export async function planOnLinks(
  jobSpec: JobSpec,
  layerModules: LayerModules,
  { kept = null, signal }: ProbeOptions = {},
): Promise<PlanOnLinks> {
  if (!isProbed(jobSpec)) {
    return { plan: await planWithLayerCode(jobSpec, layerModules, undefined, signal), probed: null };
  }
  const probed = kept ?? (await probe(jobSpec, layerModules, signal));
  return { plan: await planWithLayerCode(jobSpec, layerModules, probedFabric(probed), signal), probed };
}

async function probe(
  jobSpec: JobSpec,
  layerModules: LayerModules,
  signal: AbortSignal | undefined,
): Promise<FabricFile> {
  const plan = await planWithLayerCode(jobSpec, layerModules, assumedFabric(jobSpec), signal);
  // Loaded here: planning alone needs no sockets.
  const { probeLinks } = await import('./probe-links.js');
  return probeLinks(plan, layerModules, signal);
}

/** No thread is there while a probe measures. */
function planWithLayerCode(
  jobSpec: JobSpec,
  layerModules: LayerModules,
  links: Fabric | undefined,
  signal: AbortSignal | undefined,
): Promise<Plan> {
  return withLayerCode(layerModules, { name: jobSpec.job.name, signal }, (code) =>
    code.compute('planToRun', jobSpec, links),
  );
}
