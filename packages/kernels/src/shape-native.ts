import type { Native, NativeTrace } from './native.js';
import type { ShapeAllocator, ShapeBlock } from './shape-allocator.js';
import { bytesByCode } from './tensor.js';

/** Tensors are numbered from here on, so that nobody takes a size or a stream for one. */
const firstTensor = 2 ** 40;

interface ShapeTensor {
  readonly block: ShapeBlock;
  readonly elementBytes: number;
  readonly bytes: number;
}

const emptyTrace: NativeTrace = {
  ...{ beginUs: 0, lengthUs: 0, ops: {}, waitsMs: {}, names: [], marks: [], numDropped: 0 },
  spans: new Float64Array(0),
};

/**
 * Native functions of a shape device: tensors are counted and never allocated, ops do nothing, and a read-back gives
 * zeros. Opens no native file.
 */
export function createShapeNative(allocator: ShapeAllocator): Native {
  const tensors = new Map<number, ShapeTensor>();
  let next = 1;
  let nextTensor = firstTensor;

  const add = (block: ShapeBlock, shape: readonly number[], elementBytes: number): number => {
    block.numTensors++;
    tensors.set(nextTensor, { block, elementBytes, bytes: sizeOf(shape) * elementBytes });
    return nextTensor++;
  };
  /** Waits for the device as the host does: what is enqueued until then has run. */
  const wait = async () => {
    const until = allocator.now();
    await Promise.resolve();
    allocator.waited(until);
  };
  const runtime: Partial<Native> = {
    contextCreate: () => next++,
    streamCreate: () => next++,
    streamRecord: () => next++,
    streamSync: wait,
    streamProgress: () => true,
    streamOpTimes: () => ({}),
    contextStats: (_context, resetPeak) => {
      const result = { ...allocator.stats(), numTensors: tensors.size };
      if (resetPeak) allocator.resetPeak();
      return result;
    },
    tensorCreate: (stream, dtype, shape) => {
      const elementBytes = bytesByCode.get(dtype) ?? 4;
      return add(allocator.allocate(sizeOf(shape) * elementBytes, stream), shape, elementBytes);
    },
    tensorView: (_stream, base, _offset, shape) => {
      const { block, elementBytes } = tensors.get(base)!;
      return add(block, shape, elementBytes);
    },
    tensorRelease: (tensor) => {
      const { block } = tensors.get(tensor)!;
      tensors.delete(tensor);
      if (--block.numTensors === 0) allocator.release(block);
    },
    stopwatchStart: () => next++,
    stopwatchStop: async () => new ArrayBuffer(8),
    traceBegin: () => next++,
    traceEnd: async () => {},
    traceResult: () => emptyTrace,
    tensorReadBlocking: (_stream, tensor) => new ArrayBuffer(tensors.get(tensor)!.bytes),
    tensorRead: async (_stream, tensor) => {
      const { bytes } = tensors.get(tensor)!;
      await wait();
      return new ArrayBuffer(bytes);
    },
  };
  /** Any other function enqueues work on the stream that it begins with, on those of its numbers that are tensors. */
  const enqueue = (stream: number, ...args: readonly unknown[]): void => {
    for (const arg of args) {
      if (typeof arg === 'number') touch(arg, stream);
      else if (Array.isArray(arg)) for (const one of arg) touch(one, stream);
    }
  };
  const touch = (id: number, stream: number): void => {
    const tensor = id < firstTensor ? undefined : tensors.get(id);
    if (tensor !== undefined) allocator.touch(tensor.block, stream);
  };
  return new Proxy(runtime, { get: (target, name) => Reflect.get(target, name) ?? enqueue }) as Native;
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}
