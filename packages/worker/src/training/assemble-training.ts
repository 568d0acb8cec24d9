import { type Device, TokenUnits } from '@longscan/kernels';
import type { AttentionStrategy } from '../attention-strategy.js';
import { loadAttentionStrategy, loadStrategy } from '../load-strategy.js';
import type { RankMesh } from '../mesh.js';
import { type LoadedLayer, loadLayers } from '../model/load-layers.js';
import { createModel, parameterSpecs } from '../model/model.js';
import { Parameters } from '../model/parameters.js';
import { Optimizer } from '../optim/optimizer.js';
import { shardOfRank } from '../optim/shard.js';
import type { Plan } from '../protocol/plan.js';
import { Carry } from '../sequence/carry.js';
import type { Strategy } from '../strategy.js';
import { numExtra, type Training } from './train-step.js';

/** The files that a plan names. */
export interface PlannedUnits {
  readonly layers: readonly LoadedLayer[];
  readonly strategy: Strategy;
  readonly attention: AttentionStrategy;
}

/** `modules`: bundled module of each layer file outside the packages. */
export async function loadUnits(
  plan: Plan,
  modules: Readonly<Record<string, string>> = {},
): Promise<PlannedUnits> {
  return {
    layers: await loadLayers(plan.jobSpec.model, modules),
    strategy: await loadStrategy(plan.strategy),
    attention: await loadAttentionStrategy(plan.attentionStrategy),
  };
}

/** Model and optimizer of one rank on its device, as the plan says; the parameters have no values yet. */
export function assembleTraining(
  device: Device,
  mesh: RankMesh,
  plan: Plan,
  { layers, strategy, attention }: PlannedUnits,
  rank: number,
): Training {
  const { job, model: modelSpec, optimizer: optimizerSpec, parallel, data } = plan.jobSpec;
  if (job.deterministic) device.units = new TokenUnits(job.canonicalSegments / plan.mesh.sp);
  const shard = shardOfRank(parallel, rank);
  const parameters = new Parameters(device, parameterSpecs(modelSpec, layers), {
    numExtra,
    numShards: shard.count,
    precision: modelSpec.precision,
  });
  const model = createModel(modelSpec, layers, parameters);
  const optimizer = new Optimizer(parameters, optimizerSpec, shard);
  const sequence = mesh.sp && {
    communicator: mesh.sp,
    strategy,
    options: { blocks: plan.blocks, ranksPerNode: plan.ranksPerNode },
    slices: plan.slices,
    attention,
  };
  const carry = data.carry ? new Carry(device, mesh.sp) : null;
  return { device, model, parameters, optimizer, mesh, sequence, carry };
}
