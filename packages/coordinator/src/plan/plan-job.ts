import { traceModel, withMemory } from '@longscan/worker';
import type { JobSpec, Plan } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';
import { fabricOf } from '../fabric/load-fabric.js';
import { planAttention } from './attention.js';
import { checkCarry } from './check-carry.js';
import { checkLayers } from './check-layers.js';
import { checkObjective } from './check-objective.js';
import { layOut } from './layout.js';
import { withNodes } from './nodes.js';
import { plan } from './plan.js';
import { type TimeScans, timeByFormula } from './scan-time.js';
import { timeBySimulation } from './simulate-scans.js';
import { loadAttentionStrategies, loadStrategies } from './strategies.js';
import { strategiesFor } from './strategy-rules.js';

/**
 * Plans a job: lays it out, traces its model with shapes alone, has the installed strategies estimate their cost, and takes
 * the memory of ranks from steps with shapes alone. Opens no native file.
 *
 * @param layerModules Bundled module of each layer file outside the packages, by the file's path.
 * @throws LongscanError E-SHAPE (layout, or a layer whose sizes do not fit), E-STRATEGY (a layer that the strategy
 * cannot run), E-CARRY (data.carry where it cannot be), E-PLUGIN, and what `fabricOf` throws
 */
export async function planJob(
  jobSpec: JobSpec,
  layerModules: Readonly<Record<string, string>> = {},
): Promise<Plan> {
  const layout = layOut(jobSpec);
  checkCarry(jobSpec, layout);
  const { sp } = layout.mesh;
  const sizes = {
    numSequences: layout.sequencesPerRank / jobSpec.data.accumulate,
    sliceLength: layout.paddedLength / sp,
    numSlices: sp,
    modules: layerModules,
  };
  const calls = await traceModel(jobSpec, sizes);
  const links = fabricOf(jobSpec);
  const fabric = withNodes(links, jobSpec);
  const strategies = strategiesFor(jobSpec, await loadStrategies(), links);
  checkObjective(jobSpec, calls);
  checkLayers(jobSpec, layout, calls, strategies);
  const installed = await loadAttentionStrategies();
  const attention = planAttention(jobSpec, layout, calls, installed, fabric);
  // What softmax layers hold and multiply depends on how keys and values reach them.
  const trace =
    sp === 1 || calls.attentions.length === 0
      ? calls
      : await traceModel(jobSpec, {
          ...sizes,
          attention: installed.find(({ name }) => name === attention.strategy),
        });
  const timeScans = timeScansOf(sp, fabric, jobSpec);
  const planned = plan({ jobSpec, layout, trace, strategies, attention, fabric, timeScans });
  return await withMemory(planned, { modules: layerModules });
}

/** Messages alone: what it takes to combine segments is not known. */
function timeScansOf(sp: number, fabric: Fabric, { device }: JobSpec): TimeScans {
  if (sp === 1) return timeByFormula(sp, fabric);
  const engine = device.engine === 'nccl' ? 'nccl' : 'tcp';
  const onOwnDevices = { ranksAtOnce: null, slowdown: [1], coresPerMessage: 0 };
  return timeBySimulation(sp, { fabric, engine, ...onOwnDevices, secondsOf: () => 0 });
}
