import { connectMesh } from '../mesh.js';
import { describeDevice, openDevice } from '../open-device.js';
import type { Plan } from '../protocol/plan.js';
import type { RankContext } from '../rank-context.js';
import { assembleTraining, loadUnits } from './assemble-training.js';
import { explainShortage, requireRoom } from './out-of-memory.js';
import { openPassGraphs } from './pass-graphs.js';
import { assertFinite, type StepResult } from './train-step.js';
import type { Training } from './training.js';

/**
 * Device, groups, model and optimizer of this rank, as the plan says; the parameters have no values yet.
 * @throws LongscanError E-MEMORY where the plan is for more than the GPU has, and what opening each of them throws
 */
export async function openTraining(context: RankContext, plan: Plan): Promise<Training> {
  const { jobSpec } = plan;
  const units = await loadUnits(plan, context.assignment.layerModules);
  const device = openDevice(jobSpec.device, context.env, { fixedPartition: jobSpec.job.deterministic });
  try {
    context.log(describeDevice(device));
    requireRoom(plan, device);
    const mesh = await connectMesh(context, device);
    const training = assembleTraining(device, mesh, plan, units, context.env.rank);
    const { length: numBuckets } = training.parameters.buckets;
    if (numBuckets > 1) context.log(`gradients are summed over ranks in ${numBuckets} buckets`);
    return { ...training, graphs: openPassGraphs(training, jobSpec.device, context.log) };
  } catch (error) {
    const shown = await explainShortage(error, plan, device, context.assignment.layerModules);
    device.close();
    throw shown;
  }
}

/** Waits until this rank needs nothing of the others any more: they may then end without it. */
export async function leaveRanks({ parameters, device }: Training): Promise<void> {
  parameters.awaitUpdates();
  await device.compute.sync();
}

/**
 * The others come to the same end, and are to tell it by its name: so this rank first does what they wait for.
 * @throws LongscanError E-DIVERGED
 */
export async function refuseDiverged(training: Training, step: number, result: StepResult): Promise<void> {
  try {
    assertFinite(step, result);
  } catch (error) {
    await leaveRanks(training);
    throw error;
  }
}

/** Ends connections, threads and memory of a training. */
export function closeTraining({ mesh, device }: Training): void {
  mesh.close();
  device.close();
}
