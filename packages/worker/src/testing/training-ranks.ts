import { add, createInProcessGroup, type DType, openCpuDevice } from '@longscan/kernels';
import { defineLayer, type Layer } from '../layer.js';
import { loadStrategy } from '../load-strategy.js';
import { type LoadedLayer, loadLayers } from '../model/load-layers.js';
import { createModel, parameterSpecs } from '../model/model.js';
import { Parameters } from '../model/parameters.js';
import { Optimizer } from '../optim/optimizer.js';
import type { JobSpec } from '../protocol/job-spec.js';
import { Carry } from '../sequence/carry.js';
import { slicesOf } from '../sequence/sequence-group.js';
import { numExtra, type Training } from '../training/train-step.js';

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
  readonly strategy: string;
  readonly dtype?: DType;
}

/** What training needs on each rank of one sequence, all in this process; after the job's layers one with halos. */
export async function openTrainingRanks(spec: JobSpec, options: TrainingRanksOptions): Promise<Training[]> {
  const { lengths, dtype = 'f32' } = options;
  const layers: LoadedLayer[] = [
    ...(await loadLayers(spec.model)),
    { layer: lookingBack, config: {}, file: null },
  ];
  const strategy = await loadStrategy(options.strategy);
  const devices = lengths.map(() => openCpuDevice({ poison: true }));
  const group = (axis: string) => (devices.length > 1 ? createInProcessGroup(devices, { axis }) : null);
  const [sp, world] = [group('sp'), group('world')];
  const slices = slicesOf(lengths);
  return devices.map((device, rank) => {
    const parameters = new Parameters(device, parameterSpecs(spec.model, layers), numExtra, dtype);
    parameters.initialise(7);
    const communicator = sp?.[rank] ?? null;
    return {
      device,
      parameters,
      model: createModel(spec.model, layers, parameters),
      optimizer: new Optimizer(parameters, spec.optimizer),
      mesh: { sp: communicator, world: world?.[rank] ?? null, close() {} },
      sequence: communicator && { communicator, strategy, options: { blocks: 3 }, slices },
      carry: spec.data.carry ? new Carry(device, communicator) : null,
    };
  });
}
