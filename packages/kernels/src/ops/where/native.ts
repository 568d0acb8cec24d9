declare module '../../native.js' {
  interface Native {
    /** y[r] = condition[r] != 0 ? a[r] : b[r], row by row; null: zeros */
    where(stream: number, condition: number, a: number | null, b: number | null, y: number): void;
  }
}

export {};
