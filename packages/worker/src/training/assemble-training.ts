import { type Device, TokenUnits } from '@longscan/kernels';
import type { AttentionStrategy } from '../attention-strategy.js';
import { loadAttentionStrategy, loadStrategy } from '../load-strategy.js';
import type { RankMesh } from '../mesh.js';
import { type LoadedLayer, loadLayers } from '../model/load-layers.js';
import { createModel, parameterSpecs } from '../model/model.js';
import { Parameters } from '../model/parameters.js';
import { Optimizer } from '../optim/optimizer.js';
import { shardOfRank } from '../optim/shard.js';
import type { Plan, ScanChoice } from '../protocol/plan.js';
import { Carry } from '../sequence/carry.js';
import type { Scan } from '../sequence/sequence-group.js';
import { numExtra } from './train-step.js';
import type { Training } from './training.js';

/** The files that a plan names. */
export interface PlannedUnits {
  readonly layers: readonly LoadedLayer[];
  /** By layer. */
  readonly scans: readonly Scan[];
  readonly attention: AttentionStrategy;
}

/** `modules`: bundled module of each layer file outside the packages. */
export async function loadUnits(
  plan: Plan,
  modules: Readonly<Record<string, string>> = {},
): Promise<PlannedUnits> {
  return {
    layers: await loadLayers(plan.jobSpec.model, modules),
    scans: await Promise.all(plan.scans.map(loadScan)),
    attention: await loadAttentionStrategy(plan.attentionStrategy),
  };
}

async function loadScan({ strategy, ...options }: ScanChoice): Promise<Scan> {
  return { strategy: await loadStrategy(strategy), options };
}

/** Model and optimizer of one rank on its device, as the plan says; the parameters have no values yet. */
export function assembleTraining(
  device: Device,
  mesh: RankMesh,
  plan: Plan,
  { layers, scans, attention }: PlannedUnits,
  rank: number,
): Training {
  const { job, model: modelSpec, optimizer: optimizerSpec, parallel, data } = plan.jobSpec;
  if (job.deterministic) device.units = new TokenUnits(job.canonicalSegments / plan.mesh.sp);
  const shard = shardOfRank(parallel, rank);
  const parameters = new Parameters(device, parameterSpecs(modelSpec, layers), {
    numExtra,
    numShards: shard.count,
    precision: modelSpec.precision,
    bucketBytes: plan.gradientBucketBytes,
  });
  const model = createModel(modelSpec, layers, parameters);
  const optimizer = new Optimizer(parameters, optimizerSpec, { shard, seed: job.seed });
  const sequence = mesh.sp && {
    communicator: mesh.sp,
    scanOf: (layer: number) => scans[layer]!,
    slices: plan.slices,
    attention,
  };
  const carry = data.carry ? new Carry(device, mesh.sp) : null;
  return { device, model, parameters, optimizer, mesh, sequence, carry, graphs: null };
}
