/**
 * The addon's functions, as TypeScript sees them. This file declares the runtime (src/addon/runtime.cc); each op
 * folder adds its own functions in its `native.ts` by declaration merging, in the order of its `binding.cc`.
 *
 * Rules of the bridge: tensors and streams are numbers; what may be missing is `T | null`, never optional; every
 * function only enqueues. A test compares names and arities with the addon.
 */
export interface Native {
  contextCreate(numThreads: number, fixedPartition: boolean, poison: boolean, exactMemory: boolean): number;
  /** GPUs that the driver shows, at least one. */
  cudaNumGpus(): number;
  cudaContextCreate(index: number, poison: boolean, exactMemory: boolean, waitsAfterEachOp: boolean): number;
  /** Opens the library of CUDA kernels for the GPU of this context, unless it is open; gives its path. */
  cudaOpenKernels(context: number): string;
  cudaInfo(context: number): CudaInfo;
  contextClose(context: number): void;
  contextStats(context: number, resetPeak: boolean): MemoryStats;
  /** `urgent`: a GPU prefers its work to that of other streams. */
  streamCreate(context: number, name: string, urgent: boolean): number;
  streamRecord(stream: number): number;
  streamWait(stream: number, other: number, ticket: number): void;
  streamSync(stream: number): Promise<void>;
  streamProgress(stream: number): boolean;
  tensorCreate(stream: number, dtype: number, shape: readonly number[]): number;
  tensorView(stream: number, base: number, offset: number, shape: readonly number[]): number;
  tensorRelease(tensor: number): void;
  gateClose(stream: number): number;
  gateOpen(gate: number): void;
  cpuInfo(): { level: number; name: string };
  cpuLimit(level: number): number;
  tensorRead(stream: number, tensor: number): Promise<ArrayBuffer>;
  /** The one function that waits; see `Tensor.readBlocking`. */
  tensorReadBlocking(stream: number, tensor: number): ArrayBuffer;
  tensorWrite(stream: number, tensor: number, bytes: ArrayBufferView): void;
  streamOpTimes(stream: number): Record<string, OpTime>;
  stopwatchStart(stream: number): number;
  /** Milliseconds, one f64. */
  stopwatchStop(stream: number, watch: number): Promise<ArrayBuffer>;
  /** From here on the times of every op of the stream are taken, or only of its waits for communication. */
  traceBegin(stream: number, ops: boolean, maxSpans: number): number;
  traceMark(stream: number, name: string): void;
  traceEnd(stream: number, trace: number): Promise<void>;
  /** Of a trace that has ended; called once. */
  traceResult(trace: number): NativeTrace;
  /** What is enqueued from here on is recorded into the graph; up to `graphEnd`, memory that is released is its own. */
  graphBegin(stream: number): number;
  /** What follows is recorded into a section of its own. */
  graphSplit(stream: number, graph: number): void;
  graphEnd(stream: number, graph: number): void;
  /** Whether it still has its memory, which goes to others when that is short. */
  graphIsWhole(stream: number, graph: number): boolean;
  /** `section` counts from 0: the one after that launched last, or the first. */
  graphLaunch(stream: number, graph: number, section: number): void;
  graphRelease(stream: number, graph: number): void;
}

/** A GPU, as its driver describes it. */
export interface CudaInfo {
  readonly name: string;
  /** 90: compute capability 9.0. */
  readonly capability: number;
  readonly numMultiprocessors: number;
  /** Shared memory that a block may have at most. */
  readonly sharedBytesOfBlock: number;
  readonly totalBytes: number;
  /** For all processes on it. */
  readonly freeBytes: number;
  /** 13000: CUDA 13.0 at most. */
  readonly driverVersion: number;
}

/** Time that one kind of work took on a stream, in all; on a GPU's, its launching. */
export interface OpTime {
  readonly count: number;
  readonly ms: number;
  /** Of the tensors that its calls were given, each counted as often as it was named; what is changed in place moves twice. */
  readonly bytes: number;
}

/** What a stream did between two points, as the addon hands it over; microseconds from `beginUs` on. See `StreamTrace`. */
export interface NativeTrace {
  readonly beginUs: number;
  readonly lengthUs: number;
  readonly ops: Readonly<Record<string, OpTime>>;
  /** By the stream that was waited for. */
  readonly waitsMs: Readonly<Record<number, number>>;
  readonly names: readonly string[];
  /** `spanFields` of stream-trace.ts for each span. */
  readonly spans: Float64Array;
  readonly marks: readonly { readonly name: string; readonly us: number }[];
  readonly numDropped: number;
}

/** Memory of one device, in bytes; `numTensors` counts those alive in this JavaScript thread. */
export interface MemoryStats {
  readonly inUseBytes: number;
  readonly peakBytes: number;
  readonly reservedBytes: number;
  readonly numTensors: number;
}
