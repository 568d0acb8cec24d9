import { TokenUnits } from '@longscan/kernels';
import { loadAttentionStrategy, loadStrategy } from '../load-strategy.js';
import { connectMesh } from '../mesh.js';
import { loadLayers } from '../model/load-layers.js';
import { createModel, parameterSpecs } from '../model/model.js';
import { Parameters } from '../model/parameters.js';
import { describeDevice, openDevice } from '../open-device.js';
import { Optimizer } from '../optim/optimizer.js';
import { shardOfRank } from '../optim/shard.js';
import type { Plan } from '../protocol/plan.js';
import type { RankContext } from '../rank-context.js';
import { Carry } from '../sequence/carry.js';
import { explainShortage } from './out-of-memory.js';
import { numExtra, type Training } from './train-step.js';

/** Device, groups, model and optimizer of this rank, as the plan says; the parameters have no values yet. */
export async function openTraining(context: RankContext, plan: Plan): Promise<Training> {
  const { jobSpec } = plan;
  const layers = await loadLayers(jobSpec.model, context.assignment.layerModules);
  const strategy = await loadStrategy(plan.strategy);
  const attention = await loadAttentionStrategy(plan.attentionStrategy);
  const device = openDevice(jobSpec.device, context.env, { fixedPartition: jobSpec.job.deterministic });
  try {
    if (jobSpec.job.deterministic) {
      device.units = new TokenUnits(jobSpec.job.canonicalSegments / plan.mesh.sp);
    }
    context.log(describeDevice(device));
    const mesh = await connectMesh(context, device);
    const shard = shardOfRank(jobSpec.parallel, context.env.rank);
    const specs = parameterSpecs(jobSpec.model, layers);
    const parameters = new Parameters(device, specs, {
      numExtra,
      numShards: shard.count,
      precision: jobSpec.model.precision,
    });
    const model = createModel(jobSpec.model, layers, parameters);
    const optimizer = new Optimizer(parameters, jobSpec.optimizer, shard);
    const sequence = mesh.sp && {
      communicator: mesh.sp,
      strategy,
      options: { blocks: plan.blocks, ranksPerNode: plan.ranksPerNode },
      slices: plan.slices,
      attention,
    };
    const carry = jobSpec.data.carry ? new Carry(device, mesh.sp) : null;
    return { device, model, parameters, optimizer, mesh, sequence, carry };
  } catch (error) {
    const shown = await explainShortage(error, plan, device, context.assignment.layerModules);
    device.close();
    throw shown;
  }
}

/** Ends connections, threads and memory of a training. */
export function closeTraining({ mesh, device }: Training): void {
  mesh.close();
  device.close();
}
