import { type OpEntry, traceModel, withMemory } from '@longscan/worker';
import type { JobSpec, Plan } from '@longscan/worker/protocol';
import { loadCompute } from '../compute/load-compute.js';
import { opSeconds } from '../compute/op-seconds.js';
import type { Fabric } from '../fabric/fabric.js';
import { fabricOf } from '../fabric/load-fabric.js';
import { engineOf } from '../simulate/engine.js';
import { machineOf } from '../simulate/machine.js';
import { planAttention } from './attention.js';
import { canonicalSegments } from './canonical-units.js';
import { chainCarrier, withCarrier } from './chain-carrier.js';
import { checkCarry } from './check-carry.js';
import { checkLayers } from './check-layers.js';
import { checkObjective } from './check-objective.js';
import { layerWork } from './layer-work.js';
import { layOut } from './layout.js';
import { withNodes } from './nodes.js';
import { type PlanInputs, plan } from './plan.js';
import { countingOverheads } from './scan-machine.js';
import { timeBySimulation } from './simulate-scans.js';
import { presetFor } from './step-time.js';
import { loadAttentionStrategies, loadStrategies } from './strategies.js';
import { strategiesFor } from './strategy-rules.js';

/**
 * Plans a job: lays it out, traces its model with shapes alone, simulates how states could cross ranks, and takes
 * the memory of ranks from steps with shapes alone. Opens no native file.
 *
 * @param layerModules Bundled module of each layer file outside the packages, by the file's path.
 * @param links Between ranks; default: those that the job names.
 * @throws LongscanError E-SHAPE (layout, or a layer whose sizes do not fit), E-STRATEGY (a layer that the strategy
 * cannot run), E-CARRY (data.carry where it cannot be), E-PLUGIN, and what `fabricOf` and `chainCarrier` throw
 */
export async function planJob(
  jobSpec: JobSpec,
  layerModules: Readonly<Record<string, string>> = {},
  links: Fabric = fabricOf(jobSpec),
): Promise<Plan> {
  const inputs = await inputsOf(jobSpec, layerModules, links);
  const { trace, fabric, layout } = inputs;
  const { sp } = layout.mesh;
  const finish = (planned: Plan) => withMemory({ ...planned, fabric: links }, { modules: layerModules });
  if (sp === 1) return finish(plan(inputs));
  const compute = loadCompute(presetFor(jobSpec));
  const engine = engineOf(jobSpec);
  const secondsOf = (op: OpEntry) => opSeconds(compute, op);
  const timeScans = timeBySimulation(sp, {
    ...countingOverheads(machineOf(engine, { fabric, compute })),
    ...{ engine, secondsOf },
  });
  const numCalls = (layer: number) => trace.recurrences.filter((one) => one.layer === layer).length;
  // What a layer has to do beside its scans does not depend on how they run.
  const workOf = await layerWork(plan(inputs), compute, numCalls, layerModules);
  return finish(plan({ ...inputs, timeScans, workOf }));
}

/** Time slices that are traced where nothing but memory is asked for, and of each further one only a border is kept. */
const fewSlices = 8;

/**
 * A plan for its memory alone, in a fraction of the time: nothing is simulated, where the planner would choose states go along the
 * chain, whose buffers are the smallest that there are, of all ranks one in the middle of a sequence is traced, and of many time slices
 * that keep nothing else a few. So the need is that of the whole plan or somewhat less.
 * @throws LongscanError what `planJob` throws; E-STRATEGY also where layers cannot take the chain
 */
export async function planMemory(
  jobSpec: JobSpec,
  layerModules: Readonly<Record<string, string>>,
  links: Fabric,
): Promise<Plan> {
  const { parallel, data, model } = jobSpec;
  const strategy = parallel.strategy === 'auto' ? 'ring' : parallel.strategy;
  const isAlike = model.timeSlice > 0 && model.keptMlps === 0;
  const most = isAlike ? fewSlices * model.timeSlice : data.sequenceLength;
  const lighter = {
    ...jobSpec,
    parallel: { ...parallel, strategy },
    data: { ...data, sequenceLength: Math.min(data.sequenceLength, most) },
  };
  const planned = plan(await inputsOf(lighter, layerModules, links));
  const middle = Math.floor(planned.mesh.sp / 2);
  return withMemory(planned, { modules: layerModules, ranks: [middle] });
}

/** Lays a job out and traces its model; everything that can be wrong with it shows here. */
async function inputsOf(
  jobSpec: JobSpec,
  layerModules: Readonly<Record<string, string>>,
  links: Fabric,
): Promise<PlanInputs> {
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
  const units = (canonicalSegments(jobSpec) ?? sp) / sp;
  const chains = chainCarrier(jobSpec, links, units);
  const fabric = withCarrier(withNodes(links, jobSpec), chains);
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
  return { jobSpec, layout, trace, strategies, attention, fabric, links, chains };
}
