declare module '../../native.js' {
  interface Native {
    /** target = Σ_rows x, or target += Σ_rows x */
    sumRows(stream: number, x: number, target: number, accumulate: boolean): void;
  }
}

export {};
