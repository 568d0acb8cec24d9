import {
  type Device,
  type DType,
  dtypeBytes,
  type Event,
  empty,
  fill,
  type Halves,
  type HostArray,
  joinHalves,
  LongscanError,
  splitHalves,
  type Tape,
  type Tensor,
} from '@longscan/kernels';
import type { JobSpec } from '../protocol/job-spec.js';
import { asParameter, beforeAll, type TensorSource } from './declared-parameters.js';
import { type FlatRange, type GradientBucket, planBuckets } from './gradient-buckets.js';
import { initialise, type ParameterSpec } from './init.js';
import { alignment, layOut, type ParameterPlace, product } from './parameter-layout.js';

/** What ops compute in. */
export type Precision = JobSpec['model']['precision'];

/** How a model's parameters are held. */
export interface ParameterOptions {
  /** Elements at the end of `gradients` for values that are reduced together with them; default: none. */
  readonly numExtra?: number;
  /** Of values and gradients; f64 for gradient checks. Default: f32. */
  readonly dtype?: DType;
  /** Equal parts that all buffers can be cut into; default: 1. */
  readonly numShards?: number;
  /** `bf16`: ops see parameters that a model declares as rounded in it. Default: `f32`, all as they are. */
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
 * Values are f32, which the optimizer updates and a checkpoint holds. Under `precision: 'bf16'` the matrices among them lie in
 * two halves, and ops see the upper ones: the values rounded. Gradients are those of the values all the same.
 */
export class Parameters implements TensorSource {
  readonly dtype: DType;
  readonly numExtra: number;
  /** Elements that all parameters take with their padding. */
  readonly size: number;
  /** The values of those that ops see as they are: all, or the first `numUnrounded`. */
  readonly values: Tensor;
  readonly gradients: Tensor;
  /** Of `size`, the values behind `numUnrounded`; null: none are rounded. */
  readonly halves: Halves | null;
  /** Elements before the first rounded one. */
  readonly numUnrounded: number;
  /** Gradients that are summed over ranks at once, in the order in which a backward pass makes them final. */
  readonly buckets: readonly GradientBucket[];
  /** As ops see them, in the order of declaration. */
  readonly byName: ReadonlyMap<string, Tensor>;
  /** Updates under way on another stream than that of the ops, by the block that waits for them. */
  private readonly updates = new Map<number, Event>();
  private blockPassed: BlockPassed | null = null;
  private readonly places: readonly ParameterPlace[];

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
    const multiple = numShards * alignment;
    const total = Math.ceil(used / multiple) * multiple;
    const least = bucketBytes === null ? Number.POSITIVE_INFINITY : bucketBytes / dtypeBytes[dtype];
    this.buckets = planBuckets(places, { total, least, multiple, beforeAll });
    this.size = total;
    const inHalves = precision === 'bf16';
    this.numUnrounded = inHalves ? numUnrounded : total;
    this.values = empty(device, [this.numUnrounded], dtype);
    this.gradients = empty(device, [total + numExtra], dtype);
    const half = () => empty(device, [total], 'bf16');
    this.halves = inHalves ? { high: half(), low: half() } : null;
    const { high, low } = this.halves ?? { high: null, low: null };
    for (const buffer of [this.values, this.gradients, high, low]) if (buffer !== null) fill(buffer, 0);
    this.byName = new Map(
      places.map((place): [string, Tensor] => {
        const { name, shape, offset } = place;
        const buffer = isRounded(place) ? high! : this.values;
        return [name, asParameter(buffer.view(shape, offset), this.gradients.view(shape, offset))];
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
    return this.gradients.view([this.size]);
  }

  extra(): Tensor {
    return this.gradients.view([this.numExtra], this.size);
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
    // Passes that broke off (a recording that was refused) are watched by nobody any more.
    this.blockPassed = null;
    this.beforeBlock(beforeAll);
    if (this.device.units !== null) {
      fill(this.gradients, 0);
      return;
    }
    fill(this.extra(), 0);
    for (const { name, isSharedInParts } of this.places) {
      const tensor = this.byName.get(name)!;
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
    this.finishBucket({ begin: 0, end: this.size });
  }

  /** The same of the parameters in a bucket, once they are final. */
  finishBucket({ begin, end }: FlatRange): void {
    for (const { name } of this.placesIn(begin, end)) {
      const tensor = this.byName.get(name)!;
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
    for (const spec of this.specs) this.change(spec.name, (values) => initialise(values, spec, seed));
  }

  /** The values of a parameter, of its shape, to be released; they may be the parameter itself. */
  valuesOf(name: string): Tensor {
    const halves = this.halvesOf(name);
    if (halves === null) return this.byName.get(name)!.retain();
    const values = joinHalves(halves);
    releaseBoth(halves);
    return values;
  }

  /** Sets the values of a parameter; `values` are copied before this returns. */
  write(name: string, values: HostArray): void {
    this.change(name, (tensor) => tensor.write(values));
  }

  /** Lets `write` set the values of a parameter, of which it sees none. */
  private change(name: string, write: (values: Tensor) => void): void {
    const halves = this.halvesOf(name);
    if (halves === null) {
      write(this.byName.get(name)!);
      return;
    }
    const values = empty(this.device, halves.high.shape);
    write(values);
    splitHalves(values, halves);
    values.release();
    releaseBoth(halves);
  }

  /** Views of a parameter's halves, to be released; null: it is not in halves. */
  private halvesOf(name: string): Halves | null {
    const { offset, shape } = this.places.find((place) => place.name === name)!;
    if (this.halves === null || offset < this.numUnrounded) return null;
    return { high: this.halves.high.view(shape, offset), low: this.halves.low.view(shape, offset) };
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
      fix: 'declare the same from the same config, whatever else create does',
    });
  }
}

function releaseBoth({ high, low }: Halves): void {
  high.release();
  low.release();
}
