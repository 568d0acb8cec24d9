/**
 * The addon's functions, as TypeScript sees them. This file declares the runtime (src/addon/runtime.cc); each op
 * folder adds its own functions in its `native.ts` by declaration merging, in the order of its `binding.cc`.
 *
 * Rules of the bridge: tensors and streams are numbers; what may be missing is `T | null`, never optional; every
 * function only enqueues. A test compares names and arities with the addon.
 */
export interface Native {
  contextCreate(numThreads: number, fixedPartition: boolean, poison: boolean): number;
  /** GPUs that the driver shows, at least one. */
  cudaNumGpus(): number;
  cudaContextCreate(index: number, poison: boolean, waitsAfterEachOp: boolean): number;
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
  streamWaitedMs(stream: number): number;
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
  /** From here on every op of the stream is timed. */
  profileBegin(stream: number): number;
  profileEnd(stream: number, profile: number): Promise<void>;
  /** Of a profile that has ended; called once. */
  profileTimes(profile: number): OpProfile;
  /** What is enqueued from here on is recorded into the graph; up to `graphEnd`, released memory is kept for it. */
  graphBegin(stream: number): number;
  graphEnd(stream: number, graph: number): void;
  graphLaunch(stream: number, graph: number): void;
  graphRelease(stream: number, graph: number): void;
}

/** A GPU, as its driver describes it. */
export interface CudaInfo {
  readonly name: string;
  /** 90: compute capability 9.0. */
  readonly capability: number;
  readonly numMultiprocessors: number;
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
}

/** What a stream did between two points; on a GPU by its clock. What no op took the stream was idle, or read results back. */
export interface OpProfile {
  readonly wholeMs: number;
  /** By native function. */
  readonly ops: Readonly<Record<string, OpTime>>;
}

/** Memory of one device, in bytes; `numTensors` counts those alive in this JavaScript thread. */
export interface MemoryStats {
  readonly inUseBytes: number;
  readonly peakBytes: number;
  readonly reservedBytes: number;
  readonly numTensors: number;
}
