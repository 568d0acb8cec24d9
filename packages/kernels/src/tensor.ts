import { widenedBf16 } from './bf16.js';
import type { Device } from './device.js';
import { LongscanError } from './errors.js';
import type { Stream } from './stream.js';

/** f32 and f64 compute; bf16 is storage; i32 holds tokens and flags. */
export type DType = 'f32' | 'f64' | 'bf16' | 'i32';
export type HostArray = Float32Array | Float64Array | Uint16Array | Int32Array;

/** The numbers of `DType` in core/dtype.h. */
const dtypeCodes: Readonly<Record<DType, number>> = { f32: 0, f64: 1, bf16: 2, i32: 3 };
export const dtypeBytes: Readonly<Record<DType, number>> = { f32: 4, f64: 8, bf16: 2, i32: 4 };
/** The same by number. */
export const bytesByCode: ReadonlyMap<number, number> = new Map(
  (Object.keys(dtypeCodes) as DType[]).map((dtype) => [dtypeCodes[dtype], dtypeBytes[dtype]]),
);

const hostArrays = { f32: Float32Array, f64: Float64Array, bf16: Uint16Array, i32: Int32Array } as const;

/** The typed array that holds one tensor of this type on the host (bf16: its 16-bit patterns). */
export function hostArray(dtype: DType, from: number | ArrayLike<number> | ArrayBuffer): HostArray {
  return new hostArrays[dtype](from as ArrayLike<number>);
}

/**
 * A contiguous, row-major array on a device; a plain object that names native memory by number.
 *
 * Ownership is counted: one reference belongs to the scope in which the tensor was made (or to the caller outside
 * of any scope), further ones to whoever calls `retain`. Garbage collection frees nothing.
 */
export class Tensor {
  /** True if a gradient reaches this tensor: a parameter, or the output of a recorded op. */
  requiresGrad = false;
  /** For a parameter: where its gradient is accumulated (`+=`), same shape. */
  gradient: Tensor | null = null;
  /** For a parameter: what `gradient` holds is of an earlier step. The first to add to it writes over it. */
  isGradientStale = false;
  private numReferences = 1;

  constructor(
    readonly device: Device,
    private nativeId: number,
    readonly shape: readonly number[],
    readonly dtype: DType,
  ) {}

  /** The number of its native memory. */
  get id(): number {
    return this.nativeId;
  }

  get size(): number {
    return this.shape.reduce((product, dim) => product * dim, 1);
  }

  get bytes(): number {
    return this.size * dtypeBytes[this.dtype];
  }

  /** Size of one dimension; negative counts from the last. */
  dim(index: number): number {
    const dim = this.shape.at(index);
    if (dim === undefined) throw new RangeError(`dim ${index} of a tensor with ${this.shape.length} dims`);
    return dim;
  }

  get isReleased(): boolean {
    return this.numReferences <= 0;
  }

  /** Whether whoever holds it is the only one, of this tensor and not of its memory, which views share. */
  get isHeldOnce(): boolean {
    return this.numReferences === 1;
  }

  retain(): this {
    this.numReferences++;
    return this;
  }

  release(): void {
    if (--this.numReferences === 0) this.device.native.tensorRelease(this.id);
  }

  /** A released tensor lives again with the memory of `made`, the same values computed anew; one reference is the caller's. */
  revive(made: Tensor): void {
    this.nativeId = this.device.native.tensorView(this.device.compute.id, made.id, 0, this.shape);
    this.numReferences = 1;
  }

  /**
   * The same memory from element `offset` on, with another shape. Not recorded for gradients (`reshape` is).
   * The memory lives as long as any of its views.
   */
  view(shape: readonly number[], offset = 0): Tensor {
    const { native, compute } = this.device;
    const id = native.tensorView(compute.id, this.id, offset, shape);
    return this.device.own(new Tensor(this.device, id, shape, this.dtype));
  }

  /** Copies to the host after all work now enqueued on `stream`; the only way to see values. */
  async read(stream: Stream = this.device.compute): Promise<HostArray> {
    return hostArray(this.dtype, await this.device.native.tensorRead(stream.id, this.id));
  }

  /**
   * As `read`, but holds up JavaScript until the stream has come so far. For definitions that tests compare ops with, on a
   * device of their own: a training step never waits. @throws LongscanError: the first failure on this device
   */
  readBlocking(): HostArray {
    return hostArray(this.dtype, this.device.native.tensorReadBlocking(this.device.compute.id, this.id));
  }

  /** The values as plain numbers, whatever the type (bf16 is widened). */
  async readNumbers(): Promise<Float64Array> {
    const values = await this.read();
    if (this.dtype !== 'bf16') return Float64Array.from(values);
    return Float64Array.from(widenedBf16(values));
  }

  /** Overwrites the values, in stream order; `values` is copied before this returns. */
  write(values: HostArray, stream: Stream = this.device.compute): void {
    this.device.native.tensorWrite(stream.id, this.id, values);
  }
}

/** An uninitialised tensor (NaN under LONGSCAN_POISON=1) whose home is `stream`, the stream that touches it first. */
export function empty(
  device: Device,
  shape: readonly number[],
  dtype: DType = 'f32',
  stream: Stream = device.compute,
): Tensor {
  const id = device.native.tensorCreate(stream.id, dtypeCodes[dtype], shape);
  return device.own(new Tensor(device, id, shape, dtype));
}

/** A tensor with these values; plain numbers are rounded to `dtype`. */
export function fromArray(
  device: Device,
  values: ArrayLike<number>,
  shape: readonly number[],
  dtype: DType = 'f32',
): Tensor {
  const tensor = empty(device, shape, dtype);
  if (values.length !== tensor.size) {
    throw new LongscanError({
      code: 'E-SHAPE',
      where: 'fromArray',
      found: `${values.length} values`,
      expected: `${tensor.size} for shape [${shape.join(', ')}]`,
      fix: 'give a value for every element, or another shape',
    });
  }
  tensor.write(hostArray(dtype, values));
  return tensor;
}

export function zeros(device: Device, shape: readonly number[], dtype: DType = 'f32'): Tensor {
  const tensor = empty(device, shape, dtype);
  device.native.fill(device.compute.id, tensor.id, 0);
  return tensor;
}

/** Throws E-SHAPE unless the tensor has this shape; -1 stands for any size. */
export function expectShape(op: string, name: string, tensor: Tensor, shape: readonly number[]): void {
  const fits =
    tensor.shape.length === shape.length && shape.every((dim, i) => dim === -1 || dim === tensor.shape[i]);
  if (fits) return;
  throw new LongscanError({
    code: 'E-SHAPE',
    where: op,
    found: `${name} has shape [${tensor.shape.join(', ')}]`,
    expected: `[${shape.map((dim) => (dim === -1 ? '*' : dim)).join(', ')}]`,
    fix: `give ${name} that shape`,
  });
}

export function emptyLike(tensor: Tensor): Tensor {
  return empty(tensor.device, tensor.shape, tensor.dtype);
}
