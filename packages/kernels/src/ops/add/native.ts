declare module '../../native.js' {
  interface Native {
    /** y = a + b */
    addForward(stream: number, a: number, b: number, y: number): void;
    /** target += factor * x */
    axpy(stream: number, factor: number, x: number, target: number): void;
  }
}

export {};
