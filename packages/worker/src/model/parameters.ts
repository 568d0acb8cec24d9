import {
  type Device,
  type DType,
  empty,
  fill,
  fromArray,
  LongscanError,
  type Tensor,
} from '@longscan/kernels';
import type { Init, LayerPlace, ParameterDeclarer, TensorOptions } from '../layer.js';
import { initialise, type ParameterSpec } from './init.js';

/** Where a model's tensors come from while it is built. */
export interface TensorSource {
  readonly device: Device;
  readonly dtype: DType;
  parameter(spec: ParameterSpec): Tensor;
}

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
      });
    }
    this.specs.push(spec);
    return asParameter(empty(this.device, spec.shape), empty(this.device, spec.shape));
  }
}

/** Elements between parameters are padded so that every one begins on a vector boundary. */
const alignment = 16;

/**
 * All parameters of a model and their gradients, each kind in one flat buffer: one collective reduces every gradient,
 * one pass takes their norm. Padding is zero in both and stays so.
 */
export class Parameters implements TensorSource {
  readonly values: Tensor;
  readonly gradients: Tensor;
  readonly byName: ReadonlyMap<string, Tensor>;

  /**
   * `numExtra`: elements at the end of `gradients` for values that are reduced together with them. `numShards`: equal parts
   * that both buffers can be cut into.
   */
  constructor(
    readonly device: Device,
    readonly specs: readonly ParameterSpec[],
    readonly numExtra: number,
    readonly dtype: DType = 'f32',
    numShards = 1,
  ) {
    const used = specs.reduce((sum, spec) => sum + alignedSize(spec.shape), 0);
    const total = Math.ceil(used / (numShards * alignment)) * numShards * alignment;
    this.values = empty(device, [total], dtype);
    this.gradients = empty(device, [total + numExtra], dtype);
    fill(this.values, 0);
    fill(this.gradients, 0);
    this.byName = new Map(
      this.layout().map(({ name, shape, offset }) => [
        name,
        asParameter(this.values.view(shape, offset), this.gradients.view(shape, offset)),
      ]),
    );
  }

  /** Every parameter with its first element in the flat buffers. */
  layout(): (ParameterSpec & { readonly offset: number })[] {
    let next = 0;
    return this.specs.map((spec) => {
      const offset = next;
      next += alignedSize(spec.shape);
      return { ...spec, offset };
    });
  }

  get numParameters(): number {
    return this.specs.reduce((sum, { shape }) => sum + product(shape), 0);
  }

  /** The gradients proper, without the extra elements. */
  gradientsOnly(): Tensor {
    return this.gradients.view(this.values.shape);
  }

  extra(): Tensor {
    return this.gradients.view([this.numExtra], this.values.size);
  }

  /** Sets every parameter to its initial value: a function of seed and name, the same on every rank. */
  initialise(seed: number): void {
    for (const spec of this.specs) initialise(this.byName.get(spec.name)!, spec, seed);
  }

  /** @throws LongscanError E-PLUGIN for what was not declared before: a layer must declare the same at every call. */
  parameter({ name, shape }: ParameterSpec): Tensor {
    const tensor = this.byName.get(name);
    if (tensor !== undefined && tensor.shape.join() === shape.join()) return tensor;
    throw new LongscanError({
      code: 'E-PLUGIN',
      where: `parameter ${name}`,
      found: tensor
        ? `shape [${shape.join(', ')}], before [${tensor.shape.join(', ')}]`
        : 'a name not declared before',
      expected: 'the same names and shapes whenever a layer is created',
      exitCode: 2,
    });
  }
}

/** What a layer receives: its tensors under a prefix. */
export function declarer(
  source: TensorSource,
  prefix: string,
  dModel: number,
  layer: LayerPlace,
): ParameterDeclarer {
  const tensor = (name: string, shape: readonly number[], init: Init, options?: TensorOptions) =>
    source.parameter({ name: `${prefix}.${name}`, shape, init, ...options });
  return {
    dModel,
    layer,
    tensor,
    projection: (name, out, input, init = { normal: input ** -0.5 }) => tensor(name, [out, input], init),
    constant: (_name, values, shape) => fromArray(source.device, values, shape, source.dtype),
  };
}

function asParameter(value: Tensor, gradient: Tensor): Tensor {
  value.requiresGrad = true;
  value.gradient = gradient;
  return value;
}

function alignedSize(shape: readonly number[]): number {
  return Math.ceil(product(shape) / alignment) * alignment;
}

function product(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}
