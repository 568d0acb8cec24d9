import { connectMesh } from '../mesh.js';
import { describeDevice, openDevice } from '../open-device.js';
import type { Plan } from '../protocol/plan.js';
import type { RankContext } from '../rank-context.js';
import { assembleTraining, loadUnits } from './assemble-training.js';
import { explainShortage } from './out-of-memory.js';
import { PassGraphs } from './pass-graphs.js';
import type { Training } from './train-step.js';

/** Device, groups, model and optimizer of this rank, as the plan says; the parameters have no values yet. */
export async function openTraining(context: RankContext, plan: Plan): Promise<Training> {
  const { jobSpec } = plan;
  const units = await loadUnits(plan, context.assignment.layerModules);
  const device = openDevice(jobSpec.device, context.env, { fixedPartition: jobSpec.job.deterministic });
  try {
    context.log(describeDevice(device));
    const mesh = await connectMesh(context, device);
    const training = assembleTraining(device, mesh, plan, units, context.env.rank);
    const graphs = canRecord(training, plan) ? new PassGraphs(training, context.log) : null;
    return { ...training, graphs };
  } catch (error) {
    const shown = await explainShortage(error, plan, device, context.assignment.layerModules);
    device.close();
    throw shown;
  }
}

function canRecord({ device, sequence, carry, model }: Training, { jobSpec }: Plan): boolean {
  if (device.kind !== 'cuda' || jobSpec.device.graph === 'off') return false;
  return sequence === null && carry === null && device.units === null && model.timeSlice === 0;
}

/** Ends connections, threads and memory of a training. */
export function closeTraining({ mesh, device }: Training): void {
  mesh.close();
  device.close();
}
