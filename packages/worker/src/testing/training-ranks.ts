import {
  add,
  createInProcessGroup,
  type Device,
  type DType,
  openCpuDevice,
  TokenUnits,
} from '@longscan/kernels';
import { usualNode } from '../conformance/rank-set.js';
import { defineLayer, type Layer } from '../layer.js';
import { loadAttentionStrategy, loadStrategy } from '../load-strategy.js';
import { type LoadedLayer, loadLayers } from '../model/load-layers.js';
import { createModel, parameterSpecs } from '../model/model.js';
import { Parameters, type Precision } from '../model/parameters.js';
import { Optimizer } from '../optim/optimizer.js';
import { shardOfRank } from '../optim/shard.js';
import { type JobSpec, parseMemory } from '../protocol/job-spec.js';
import { Carry } from '../sequence/carry.js';
import { slicesOf } from '../sequence/slice-group.js';
import { numExtra } from '../training/train-step.js';
import type { Training } from '../training/training.js';

/** A layer that looks back over a short convolution and a token shift, so that halos are there too. */
const lookingBack = defineLayer({
  name: 'looking-back',
  paper: 'https://arxiv.org/abs/2312.00752',
  transition: 'identity',
  config: {},
  create: (_config, param) => {
    const weight = param.projection('conv', param.dModel, 4);
    return (x, context) => add({ a: context.causalConv1d(x, weight), b: context.tokenShift(x) });
  },
}) as Layer;

export interface TrainingRanksOptions {
  /** Tokens of each rank's slice. */
  readonly lengths: readonly number[];
  /** Of all layers, or of one after the other over and over. */
  readonly strategy: string | readonly string[];
  /** Default: `kv-all-gather`. */
  readonly attention?: string;
  readonly dtype?: DType;
  /** Default: `f32`; CPUs can hold parameters in others, not train them. */
  readonly precision?: Precision;
  /** Replicas; default 1. */
  readonly dp?: number;
  /** Compute threads of a rank; default 1. */
  readonly threads?: number;
  /** Deterministic mode: canonical segments of a sequence. */
  readonly segments?: number;
}

/**
 * What training needs on each of dp x sp ranks, all in this process; after the job's layers one with halos. The optimizer
 * is sharded if the job says so.
 */
export async function openTrainingRanks(spec: JobSpec, options: TrainingRanksOptions): Promise<Training[]> {
  const { lengths, dtype = 'f32', precision = 'f32', dp = 1, threads = 1, segments } = options;
  const sp = lengths.length;
  const layers: LoadedLayer[] = [
    ...(await loadLayers(spec.model)),
    { layer: lookingBack, config: {}, file: null },
  ];
  const strategies = await Promise.all([options.strategy].flat().map(loadStrategy));
  const attention = await loadAttentionStrategy(options.attention ?? 'kv-all-gather');
  const devices = Array.from({ length: dp * sp }, () =>
    openCpuDevice({ poison: true, threads, fixedPartition: segments !== undefined }),
  );
  const group = (members: readonly Device[], axis: string) =>
    members.length > 1 ? createInProcessGroup(members, { axis }) : members.map(() => null);
  const world = group(devices, 'world');
  const rows = Array.from({ length: dp }, (_, row) => devices.slice(row * sp, (row + 1) * sp));
  const communicators = rows.flatMap((row, i) => group(row, `sp-${i}`));
  const slices = slicesOf(lengths);
  return devices.map((device, rank) => {
    if (segments !== undefined) device.units = new TokenUnits(segments / sp);
    const shard = shardOfRank({ ...spec.parallel, sp, dp }, rank);
    const specs = parameterSpecs(spec.model, layers);
    const bucketBytes = parseMemory(spec.parallel.gradientBucket);
    const parameters = new Parameters(device, specs, {
      ...{ numExtra, dtype, precision, bucketBytes },
      numShards: shard.count,
    });
    parameters.initialise(7);
    const communicator = communicators[rank] ?? null;
    return {
      device,
      parameters,
      model: createModel(spec.model, layers, parameters),
      optimizer: new Optimizer(parameters, spec.optimizer, { shard, seed: spec.job.seed }),
      mesh: { sp: communicator, world: world[rank] ?? null, close() {} },
      sequence: communicator && {
        communicator,
        scanOf: (layer) => ({
          strategy: strategies[layer % strategies.length]!,
          options: { blocks: 3, ranksPerNode: usualNode(sp) },
        }),
        slices,
        attention,
      },
      carry: spec.data.carry ? new Carry(device, communicator) : null,
      graphs: null,
    };
  });
}
