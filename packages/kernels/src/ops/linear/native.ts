declare module '../../native.js' {
  interface Native {
    /** y = x Wᵀ (+ bias) */
    linearForward(stream: number, x: number, weight: number, bias: number | null, y: number): void;
    /** dx = dy W */
    linearInputGradient(stream: number, dy: number, weight: number, dx: number): void;
    /** dw = dyᵀ x, or dw += dyᵀ x */
    linearWeightGradient(stream: number, dy: number, x: number, dw: number, accumulate: boolean): void;
    gemmInfo(stream: number): GemmInfo;
    /** Seconds that oneDNN takes for `numCalls` f32 products of its own, on this thread: for benchmarks */
    gemmProbe(
      numThreads: number,
      transA: boolean,
      transB: boolean,
      m: number,
      n: number,
      k: number,
      numCalls: number,
    ): number;
  }
}

/** What computes f32 matrix products. */
export interface GemmInfo {
  readonly engine: 'oneDNN' | 'builtin';
  /** Version and path of oneDNN; empty for the built-in product. */
  readonly version: string;
  readonly path: string;
  /** Threads of this device that share a product. */
  readonly numThreads: number;
}
