declare module '../../native.js' {
  interface Native {
    /** c = op(a) op(b), matrix by matrix; op(x) = xᵀ where it says so */
    batchedMatmul(stream: number, transA: boolean, transB: boolean, a: number, b: number, c: number): void;
  }
}

export {};
