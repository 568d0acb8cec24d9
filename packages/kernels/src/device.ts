import { Tape } from './autograd/tape.js';
import type { TokenUnits } from './autograd/token-units.js';
import { loadAddon } from './load-addon.js';
import type { CudaInfo, MemoryStats, Native } from './native.js';
import { type NativeObserver, observedNative } from './observed-native.js';
import { ShapeAllocator } from './shape-allocator.js';
import { createShapeNative } from './shape-native.js';
import { type Recording, Stream } from './stream.js';
import { Tensor } from './tensor.js';

/** What helps to find wrong accesses to memory. */
interface MemoryChecks {
  /** Fill fresh memory with NaN; default: LONGSCAN_POISON=1 in the environment. */
  readonly poison?: boolean;
  /**
   * An allocation of exactly its size for each tensor, none used twice, so that compute-sanitizer sees accesses beside it; default:
   * LONGSCAN_EXACT_MEMORY=1 in the environment.
   */
  readonly exactMemory?: boolean;
}

export interface CpuDeviceOptions extends MemoryChecks {
  /** Compute threads of this rank. */
  readonly threads?: number;
  /** Cut work into the same parts whatever the number of threads, as deterministic mode needs; default: false. */
  readonly fixedPartition?: boolean;
  /** Is told of every native call. */
  readonly observe?: NativeObserver;
}

export interface CudaDeviceOptions extends MemoryChecks {
  /** Which GPU of those that the driver shows (CUDA_VISIBLE_DEVICES); default: 0. */
  readonly index?: number;
  /** Wait after each op, so that a failure names its op; default: LONGSCAN_SYNC=1 in the environment. */
  readonly waitsAfterEachOp?: boolean;
  /** Open the library of kernels at once, so that what is wrong with it shows before work starts; default: true. */
  readonly kernels?: boolean;
}

/**
 * What belongs to one rank on one device: native functions, compute stream, memory, tape. Nothing of it is global, so
 * tests hold several ranks in one process. On a `shape` device nothing is computed: memory and FLOPs are counted.
 */
export class Device {
  readonly compute: Stream;
  /** Records ops for the backward pass while it is set. */
  tape: Tape | null = null;
  /** The graph that is being recorded, of whichever stream. */
  recording: Recording | null = null;
  /** Deterministic mode: how the tokens of a rank are cut; null: ops run over all of them at once. */
  units: TokenUnits | null = null;
  /**
   * On a shape device: whether its shapes are those of work on a GPU, as far as they are known without one; recurrences are
   * cut as on a CPU, since the GPU's kernels themselves tell what memory they want, and keep what those would.
   */
  standsForGpu = false;
  /** The backward pass makes again what costs little, as outputs of norms and activations: less memory, more work. */
  remakesCheapOutputs = false;
  /** Floating-point operations of the ops enqueued so far (a multiply-add counts 2); each op adds its own behind its call. */
  flops = 0;
  private readonly scopes: Tensor[][] = [];

  constructor(
    readonly kind: 'cpu' | 'cuda' | 'shape',
    readonly native: Native,
    private readonly context: number,
  ) {
    this.compute = this.createStream('compute');
  }

  /** Whether what is enqueued is what a GPU runs. */
  get isGpu(): boolean {
    return this.kind === 'cuda' || this.standsForGpu;
  }

  /** `urgent`: a GPU prefers its work to that of streams that are not, as communication wants; default: false. */
  createStream(name: string, { urgent = false } = {}): Stream {
    return new Stream(this, this.native.streamCreate(this.context, name, urgent), name);
  }

  /** The GPU. Only on a `cuda` device. */
  gpu(): CudaInfo {
    return this.native.cudaInfo(this.context);
  }

  memory(options: { resetPeak?: boolean } = {}): MemoryStats {
    return this.native.contextStats(this.context, options.resetPeak ?? false);
  }

  /** Scopes now open. */
  get scopeDepth(): number {
    return this.scopes.length;
  }

  /** Hands a new tensor to the innermost scope; outside of scopes it belongs to the caller. */
  own(tensor: Tensor): Tensor {
    this.scopes.at(-1)?.push(tensor);
    return tensor;
  }

  /**
   * Runs `body` and releases every tensor made in it, except those it returns (alone, in an array or an object),
   * which pass to the surrounding scope. Tensors that the tape saved live on until their backward has run.
   * @throws TypeError if `body` is asynchronous: a scope cannot end across an `await`.
   */
  scope<T>(body: () => T): T {
    const made: Tensor[] = [];
    this.scopes.push(made);
    let result: T;
    try {
      result = body();
      if (result instanceof Promise)
        throw new TypeError('a scope cannot be asynchronous: await outside of it');
    } catch (error) {
      this.scopes.pop();
      for (const tensor of made) tensor.release();
      throw error;
    }
    this.scopes.pop();
    const kept = new Set<Tensor>();
    collectTensors(result, kept);
    for (const tensor of made) {
      if (kept.has(tensor)) this.own(tensor);
      else tensor.release();
    }
    return result;
  }

  /**
   * Releases a tensor of the innermost scope before the scope ends, for whoever made it and reads it no more; one of another scope
   * lives as long as that.
   */
  letGo(tensor: Tensor): void {
    const made = this.scopes.at(-1);
    if (made !== undefined) {
      const place = made.lastIndexOf(tensor);
      if (place < 0) return;
      made.splice(place, 1);
    }
    tensor.release();
  }

  /** Runs `body` with a tape, for training; returns its result and the tape, which still holds what it saved. */
  record<T>(body: () => T): { result: T; tape: Tape } {
    const before = this.tape;
    const tape = new Tape(this);
    this.tape = tape;
    try {
      return { result: body(), tape };
    } catch (error) {
      tape.clear();
      throw error;
    } finally {
      this.tape = before;
    }
  }

  /** Runs `body` without a tape: nothing of it is kept for a backward pass. */
  withoutTape<T>(body: () => T): T {
    const before = this.tape;
    this.tape = null;
    try {
      return body();
    } finally {
      this.tape = before;
    }
  }

  /** Runs `body` on tensors of one unit: what it calls does not cut them again. */
  withoutUnits<T>(body: () => T): T {
    const before = this.units;
    this.units = null;
    try {
      return body();
    } finally {
      this.units = before;
    }
  }

  /** Ends the native threads and frees all memory. Work still queued is dropped; its awaits reject. */
  close(): void {
    this.native.contextClose(this.context);
  }
}

/** What the environment says where options do not. */
const memoryChecks = ({
  poison = process.env.LONGSCAN_POISON === '1',
  exactMemory = process.env.LONGSCAN_EXACT_MEMORY === '1',
}: MemoryChecks) => [poison, exactMemory] as const;

/** Opens the CPU. @throws LongscanError E-ADDON if the addon is not built. */
export function openCpuDevice({
  threads = 1,
  fixedPartition = false,
  observe,
  ...checks
}: CpuDeviceOptions = {}): Device {
  const native = observe === undefined ? loadAddon() : observedNative(loadAddon(), observe);
  return new Device('cpu', native, native.contextCreate(threads, fixedPartition, ...memoryChecks(checks)));
}

/** GPUs that the driver shows, at least one. @throws LongscanError E-ADDON, E-CUDA-DRIVER, E-CUDA-DEVICE without any */
export function countGpus(): number {
  return loadAddon().cudaNumGpus();
}

/**
 * Opens a GPU.
 * @throws LongscanError E-ADDON; E-CUDA-DRIVER without a driver or with one too old; E-CUDA-DEVICE without such a GPU, or one
 *   that the kernels are not built for; E-CUDA-LIBRARY without our kernels; E-CUDA if work of this process has failed on it.
 */
export function openCudaDevice({
  index = 0,
  waitsAfterEachOp = process.env.LONGSCAN_SYNC === '1',
  kernels = true,
  ...checks
}: CudaDeviceOptions = {}): Device {
  const native = loadAddon();
  const context = native.cudaContextCreate(index, ...memoryChecks(checks), waitsAfterEachOp);
  try {
    if (kernels) native.cudaOpenKernels(context);
    return new Device('cuda', native, context);
  } catch (error) {
    native.contextClose(context);
    throw error;
  }
}

export interface ShapeDeviceOptions {
  /** Is told of every native call. */
  readonly observe?: NativeObserver;
}

/** A device on which every op only declares shapes: the planner reads sizes, memory and FLOPs from the real model code. */
export class ShapeDevice extends Device {
  private readonly allocator: ShapeAllocator;

  constructor({ observe }: ShapeDeviceOptions = {}) {
    const allocator = new ShapeAllocator();
    const shapes = createShapeNative(allocator);
    const native = observe === undefined ? shapes : observedNative(shapes, observe);
    super('shape', native, native.contextCreate(1, false, false, false));
    this.allocator = allocator;
  }

  /** Of the peak of its memory, what was first touched on a stream. */
  peakBytesOf({ id }: Stream): number {
    return this.allocator.peakByStream().get(id) ?? 0;
  }
}

export function openShapeDevice(options?: ShapeDeviceOptions): ShapeDevice {
  return new ShapeDevice(options);
}

function collectTensors(value: unknown, found: Set<Tensor>): void {
  if (value instanceof Tensor) found.add(value);
  else if (Array.isArray(value)) for (const item of value) collectTensors(item, found);
  else if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    for (const item of Object.values(value)) collectTensors(item, found);
  }
}
