declare module '../../native.js' {
  interface Native {
    /** y = f(z) on pairs (re, im) */
    complexForward(stream: number, name: number, z: number, y: number): void;
    /** dz = conj(f'(z)) dy */
    complexBackward(stream: number, name: number, z: number, dy: number, dz: number): void;
    /** y = a b, or conj(a) b, on pairs */
    complexMultiply(stream: number, conjugate: boolean, a: number, b: number, y: number): void;
  }
}

export {};
