import {
  axpy,
  type Device,
  type DType,
  dtypeBytes,
  type Event,
  empty,
  fill,
  fromArray,
  LongscanError,
  type Tape,
  type Tensor,
} from '@longscan/kernels';
import type { LayerPlace, ParameterDeclarer } from '../layer.js';
import type { JobSpec } from '../protocol/job-spec.js';
import { type FlatRange, type GradientBucket, planBuckets } from './gradient-buckets.js';
import { initialise, type ParameterSpec } from './init.js';

/** What ops compute in. */
export type Precision = JobSpec['model']['precision'];

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
      });
    }
    this.specs.push(spec);
    return asParameter(empty(this.device, spec.shape), empty(this.device, spec.shape));
  }
}

/** Elements between parameters are padded so that every one begins on a vector boundary. */
const alignment = 16;

/** How a model's parameters are held. */
export interface ParameterOptions {
  /** Elements at the end of `gradients` for values that are reduced together with them; default: none. */
  readonly numExtra?: number;
  /** Of values and gradients; f64 for gradient checks. Default: f32. */
  readonly dtype?: DType;
  /** Equal parts that all buffers can be cut into; default: 1. */
  readonly numShards?: number;
  /** `bf16`: parameters that a model declares as rounded have a working copy in it. Default: `f32`, no copies. */
  readonly precision?: Precision;
  /** What a bucket of gradients has at least; null, the default: all of them are one. */
  readonly bucketBytes?: number | null;
}

/** Is told that a backward pass is through a block, but for what its tape has put off. */
export type BlockPassed = (block: number, tape: Tape) => void;

/**
 * All parameters of a model and their gradients, each kind in one flat buffer: a collective reduces any run of gradients,
 * one pass takes their norm. Padding is zero in both and stays so.
 *
 * Values are what the optimizer updates and a checkpoint holds. Under `precision: 'bf16'` ops see the matrices among them
 * as a third buffer has them, rounded; gradients are those of the values all the same.
 */
export class Parameters implements TensorSource {
  readonly dtype: DType;
  readonly numExtra: number;
  readonly values: Tensor;
  readonly gradients: Tensor;
  /** Rounded values, in the places of the values; null: ops see these themselves. */
  readonly working: Tensor | null;
  /** Elements of the buffers before the first rounded one: ops see their values. */
  readonly numUnrounded: number;
  /** Gradients that are summed over ranks at once, in the order in which a backward pass makes them final. */
  readonly buckets: readonly GradientBucket[];
  /** The values by name, in the order of declaration. */
  readonly byName: ReadonlyMap<string, Tensor>;
  /** Updates under way on another stream than that of the ops, by the block that waits for them. */
  private readonly updates = new Map<number, Event>();
  private blockPassed: BlockPassed | null = null;
  private readonly places: readonly ParameterPlace[];
  private readonly forOps: ReadonlyMap<string, Tensor>;

  constructor(
    readonly device: Device,
    readonly specs: readonly ParameterSpec[],
    {
      numExtra = 0,
      dtype = 'f32',
      numShards = 1,
      precision = 'f32',
      bucketBytes = null,
    }: ParameterOptions = {},
  ) {
    this.numExtra = numExtra;
    this.dtype = dtype;
    const isRounded = (spec: ParameterSpec) => precision === 'bf16' && spec.isRounded === true;
    const { places, numUnrounded, used } = layOut(specs, isRounded);
    this.places = places;
    this.numUnrounded = numUnrounded;
    const multiple = numShards * alignment;
    const total = Math.ceil(used / multiple) * multiple;
    const least = bucketBytes === null ? Number.POSITIVE_INFINITY : bucketBytes / dtypeBytes[dtype];
    this.buckets = planBuckets(places, { total, least, multiple, beforeAll });
    this.values = empty(device, [total], dtype);
    this.gradients = empty(device, [total + numExtra], dtype);
    this.working = precision === 'bf16' ? empty(device, [total], 'bf16') : null;
    for (const buffer of [this.values, this.gradients, this.working]) if (buffer !== null) fill(buffer, 0);
    const gradientOf = ({ shape, offset }: ParameterPlace) => this.gradients.view(shape, offset);
    const views = places.map((place): [string, Tensor] => {
      return [place.name, asParameter(this.values.view(place.shape, place.offset), gradientOf(place))];
    });
    this.byName = new Map(views);
    this.forOps = new Map(
      places.map((place, i): [string, Tensor] => {
        if (!isRounded(place)) return views[i]!;
        return [place.name, asParameter(this.working!.view(place.shape, place.offset), gradientOf(place))];
      }),
    );
  }

  /** Every parameter with its first element in the flat buffers, in the order of declaration. */
  layout(): readonly ParameterPlace[] {
    return this.places;
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

  /** Says that parameters of a block are being updated until `done`; their gradients are being read until then, too. */
  noteUpdate(block: number, done: Event): void {
    this.updates.set(block, done);
  }

  /** The same of elements [begin, end) of the flat buffers; later events of a block are those of one stream. */
  noteUpdates({ begin, end }: FlatRange, done: Event): void {
    for (const { block = beforeAll } of this.placesIn(begin, end)) this.noteUpdate(block, done);
  }

  /**
   * Lets the compute stream wait until the parameters of a block are up to date, and notes the place on a tape whose backward pass is
   * watched.
   */
  beforeBlock(block: number): void {
    const { compute, tape } = this.device;
    const { blockPassed } = this;
    if (tape !== null && blockPassed !== null) tape.notePoint(() => blockPassed(block, tape));
    compute.between(() => {
      const update = this.updates.get(block);
      if (update === undefined) return;
      compute.wait(update);
      this.updates.delete(block);
    });
  }

  /** The same of all of them. */
  awaitUpdates(): void {
    for (const block of [...this.updates.keys()]) this.beforeBlock(block);
  }

  /** Before the backward passes of a step: the first of them to reach a parameter begins its gradient anew. */
  startGradients(): void {
    this.beforeBlock(beforeAll);
    if (this.device.units !== null) {
      fill(this.gradients, 0);
      return;
    }
    fill(this.extra(), 0);
    for (const { name, isSharedInParts } of this.places) {
      const tensor = this.forOps.get(name)!;
      if (isSharedInParts) fill(tensor.gradient!, 0);
      else tensor.isGradientStale = true;
    }
  }

  /** The backward pass of what is recorded from now on is the last one of the step, and tells `passed` how far it has come. */
  watchBackward(passed: BlockPassed): void {
    this.blockPassed = passed;
  }

  /** After the backward passes: what none of them has reached has a gradient of zero. */
  finishGradients(): void {
    this.blockPassed = null;
    this.finishBucket({ begin: 0, end: this.values.size });
  }

  /** The same of the parameters in a bucket, once they are final. */
  finishBucket({ begin, end }: FlatRange): void {
    for (const { name } of this.placesIn(begin, end)) {
      const tensor = this.forOps.get(name)!;
      if (!tensor.isGradientStale) continue;
      tensor.isGradientStale = false;
      fill(tensor.gradient!, 0);
    }
  }

  /** The parameters of which some elements lie in [begin, end). */
  private placesIn(begin: number, end: number): ParameterPlace[] {
    return this.places.filter(({ offset, shape }) => offset < end && offset + product(shape) > begin);
  }

  /** Sets every parameter to its initial value: a function of seed and name, the same on every rank. */
  initialise(seed: number): void {
    for (const spec of this.specs) initialise(this.byName.get(spec.name)!, spec, seed);
    this.round();
  }

  /** Makes the working copy that of the values, after somebody has written these. */
  round(): void {
    if (this.working === null) return;
    fill(this.working, 0);
    axpy(1, this.values, this.working);
  }

  /** @throws LongscanError E-PLUGIN for what was not declared before: a layer must declare the same at every call. */
  parameter({ name, shape }: ParameterSpec): Tensor {
    const tensor = this.forOps.get(name);
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

/** A parameter with its first element in the flat buffers. */
export type ParameterPlace = ParameterSpec & { readonly offset: number };

/** One after the other, those that ops see rounded behind the others; in the order of declaration among themselves. */
function layOut(specs: readonly ParameterSpec[], isRounded: (spec: ParameterSpec) => boolean) {
  const offsets = new Map<ParameterSpec, number>();
  let next = 0;
  let numUnrounded = 0;
  for (const behind of [false, true]) {
    for (const spec of specs) {
      if (isRounded(spec) !== behind) continue;
      offsets.set(spec, next);
      next += alignedSize(spec.shape);
    }
    if (!behind) numUnrounded = next;
  }
  const places = specs.map((spec): ParameterPlace => ({ ...spec, offset: offsets.get(spec)! }));
  return { places, numUnrounded, used: next };
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
