import { traceModel } from '@longscan/worker';
import { type JobSpec, LongscanError, type Plan } from '@longscan/worker/protocol';
import { checkCarry } from './check-carry.js';
import { checkLayers } from './check-layers.js';
import { loopbackTcp } from './fabric.js';
import { layOut } from './layout.js';
import { plan } from './plan.js';
import { loadStrategies, type StrategyCost } from './strategies.js';

/**
 * Plans a job: lays it out, traces its model with shapes alone, and has the installed strategies estimate their cost.
 * Opens no native file.
 *
 * @param layerModules Bundled module of each layer file outside the packages, by the file's path.
 * @throws LongscanError E-SHAPE (layout, or a layer whose sizes do not fit), E-STRATEGY (a layer that the strategy
 * cannot run), E-CARRY (data.carry where it cannot be), E-PLUGIN
 */
export async function planJob(
  jobSpec: JobSpec,
  layerModules: Readonly<Record<string, string>> = {},
): Promise<Plan> {
  const layout = layOut(jobSpec);
  checkCarry(jobSpec, layout);
  const trace = await traceModel(jobSpec, {
    numSequences: layout.sequencesPerRank / jobSpec.data.accumulate,
    sliceLength: layout.paddedLength / layout.mesh.sp,
    numSlices: layout.mesh.sp,
    modules: layerModules,
  });
  const strategies = strategiesFor(jobSpec, await loadStrategies());
  checkLayers(jobSpec, layout, trace, strategies);
  return plan({ jobSpec, layout, trace, strategies, fabric: loopbackTcp });
}

/** In deterministic mode only strategies that hand a state on unit by unit. @throws LongscanError E-STRATEGY for another */
function strategiesFor({ job, parallel }: JobSpec, installed: readonly StrategyCost[]): StrategyCost[] {
  if (!job.deterministic) return [...installed];
  const able = installed.filter(({ keepsUnits }) => keepsUnits);
  const names = able.map(({ name }) => name);
  if (parallel.sp === 1 || parallel.strategy === 'auto' || names.includes(parallel.strategy)) return able;
  throw new LongscanError({
    code: 'E-STRATEGY',
    where: 'parallel.strategy',
    found: `"${parallel.strategy}" in deterministic mode: it adds in an order that depends on the number of ranks`,
    expected: 'a strategy that hands states on unit by unit',
    fix: [...names.map((name) => `parallel.strategy = "${name}"`), 'job.deterministic = false'].join(', or '),
    exitCode: 2,
  });
}
