declare module '../../native.js' {
  interface Native {
    /** y = a + b */
    addForward(stream: number, a: number, b: number, y: number): void;
    /** target += factor * x, of one type; on a GPU either may be bf16. */
    axpy(stream: number, factor: number, x: number, target: number): void;
  }
}

export {};
