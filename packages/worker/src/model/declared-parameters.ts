import { type Device, type DType, empty, fromArray, LongscanError, type Tensor } from '@longscan/kernels';
import type { LayerPlace, ParameterDeclarer } from '../layer.js';
import type { ParameterSpec } from './init.js';

/** Where a model's tensors come from while it is built. */
export interface TensorSource {
  readonly device: Device;
  /** Of constants, and of parameters that are not rounded. */
  readonly dtype: DType;
  parameter(spec: ParameterSpec): Tensor;
  /** Called before ops read the parameters of a block (see `ParameterSpec.block`); `beforeAll`: those that belong to none. */
  beforeBlock?(block: number): void;
}

/** Stands for what is read before the first block. */
export const beforeAll = -1;

/** Notes what a model declares; its tensors are only good for shapes. */
export class ParameterRecorder implements TensorSource {
  readonly dtype = 'f32';
  readonly specs: ParameterSpec[] = [];

  constructor(readonly device: Device) {}

  /** @throws LongscanError E-PLUGIN if the name was declared before: two tensors would share one place in a checkpoint. */
  parameter(spec: ParameterSpec): Tensor {
    if (this.specs.some(({ name }) => name === spec.name)) {
      throw new LongscanError({
        code: 'E-PLUGIN',
        where: `parameter ${spec.name}`,
        found: 'declared twice',
        expected: 'a name of its own for every tensor of a layer',
        exitCode: 2,
        fix: 'give one of them another name',
      });
    }
    this.specs.push(spec);
    return asParameter(empty(this.device, spec.shape), empty(this.device, spec.shape));
  }
}

/** What a layer receives: its tensors under a prefix. */
export function declarer(
  source: TensorSource,
  prefix: string,
  dModel: number,
  layer: LayerPlace,
): ParameterDeclarer {
  const fullName = (name: string) => `${prefix}.${name}`;
  return {
    dModel,
    layer,
    tensor: (name, shape, init, options) =>
      source.parameter({ name: fullName(name), shape, init, block: layer.index, ...options }),
    projection: (name, out, input, init = { normal: input ** -0.5 }) =>
      source.parameter({
        name: fullName(name),
        shape: [out, input],
        init,
        block: layer.index,
        isRounded: true,
      }),
    constant: (_name, values, shape) => fromArray(source.device, values, shape, source.dtype),
  };
}

/** A tensor that ops see as a parameter, whose gradient is added to `gradient`. */
export function asParameter(value: Tensor, gradient: Tensor): Tensor {
  value.requiresGrad = true;
  value.gradient = gradient;
  return value;
}
