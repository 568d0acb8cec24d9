declare module '../../native.js' {
  interface Native {
    /** y = x Wᵀ (+ bias, on a GPU f32 beside bf16 too) */
    linearForward(stream: number, x: number, weight: number, bias: number | null, y: number): void;
    /** dx = dy W, or dx += dy W */
    linearInputGradient(stream: number, dy: number, weight: number, dx: number, accumulate: boolean): void;
    /** dw = dyᵀ x, or dw += dyᵀ x; of bf16 dy and x into f32 too, on a GPU */
    linearWeightGradient(stream: number, dy: number, x: number, dw: number, accumulate: boolean): void;
    /** y = [x Firstᵀ, x Secondᵀ, x Thirdᵀ], side by side in its rows, a null weight left out; this and the next two on a GPU only */
    linearJoinedForward(
      stream: number,
      x: number,
      first: number,
      second: number,
      third: number | null,
      y: number,
    ): void;
    /** dx = dy [First; Second; Third], or dx += that */
    linearJoinedInputGradient(
      stream: number,
      dy: number,
      first: number,
      second: number,
      third: number | null,
      dx: number,
      accumulate: boolean,
    ): void;
    /** [dFirst; dSecond; dThird] = dyᵀ x, or each += its part */
    linearJoinedWeightGradient(
      stream: number,
      dy: number,
      x: number,
      dFirst: number,
      dSecond: number,
      dThird: number | null,
      accumulateFirst: boolean,
      accumulateSecond: boolean,
      accumulateThird: boolean,
    ): void;
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

/** What computes matrix products on a device. */
export interface GemmInfo {
  /** On a GPU cublasLt; on the CPU what multiplies f32. */
  readonly engine: 'oneDNN' | 'builtin' | 'cublasLt';
  /** Version and path of the library; empty for the built-in product. */
  readonly version: string;
  readonly path: string;
  /** Threads of this device that share a product; 1 on a GPU. */
  readonly numThreads: number;
}
