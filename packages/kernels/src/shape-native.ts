import type { MemoryStats, Native, NativeTrace } from './native.js';
import { dtypeBytes, dtypeCodes } from './tensor.js';

const bytesByCode = new Map(
  Object.entries(dtypeCodes).map(([dtype, code]) => [code, dtypeBytes[dtype as 'f32']]),
);

/** Memory that several views share, counted once. */
interface ShapeBlock {
  readonly bytes: number;
  numTensors: number;
}

const emptyTrace: NativeTrace = {
  ...{ beginUs: 0, lengthUs: 0, ops: {}, waitsMs: {}, names: [], marks: [], numDropped: 0 },
  spans: new Float64Array(0),
};

/**
 * Native functions of a shape device: tensors are counted and never allocated, ops do nothing, and a read-back gives
 * zeros. Opens no native file.
 */
export function createShapeNative(): Native {
  const blocks = new Map<number, ShapeBlock>();
  const stats = { inUseBytes: 0, peakBytes: 0 };
  let next = 1;

  const add = (block: ShapeBlock): number => {
    block.numTensors++;
    blocks.set(next, block);
    return next++;
  };
  const runtime: Partial<Native> = {
    contextCreate: () => next++,
    streamCreate: () => next++,
    streamRecord: () => 0,
    streamSync: async () => {},
    streamProgress: () => true,
    streamOpTimes: () => ({}),
    contextStats: (_context, resetPeak): MemoryStats => {
      const result = { ...stats, reservedBytes: stats.inUseBytes, numTensors: blocks.size };
      if (resetPeak) stats.peakBytes = stats.inUseBytes;
      return result;
    },
    tensorCreate: (_stream, dtype, shape) => {
      const bytes = shape.reduce((product, dim) => product * dim, bytesByCode.get(dtype) ?? 4);
      stats.inUseBytes += bytes;
      stats.peakBytes = Math.max(stats.peakBytes, stats.inUseBytes);
      return add({ bytes, numTensors: 0 });
    },
    tensorView: (_stream, base) => add(blocks.get(base)!),
    tensorRelease: (tensor) => {
      const block = blocks.get(tensor)!;
      blocks.delete(tensor);
      if (--block.numTensors === 0) stats.inUseBytes -= block.bytes;
    },
    stopwatchStart: () => next++,
    stopwatchStop: async () => new ArrayBuffer(8),
    traceBegin: () => next++,
    traceEnd: async () => {},
    traceResult: () => emptyTrace,
    tensorReadBlocking: (_stream, tensor) => new ArrayBuffer(blocks.get(tensor)!.bytes),
    tensorRead: async (_stream, tensor) => new ArrayBuffer(blocks.get(tensor)!.bytes),
  };
  const nothing = () => undefined;
  return new Proxy(runtime, { get: (target, name) => Reflect.get(target, name) ?? nothing }) as Native;
}
