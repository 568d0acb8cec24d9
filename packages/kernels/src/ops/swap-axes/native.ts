declare module '../../native.js' {
  interface Native {
    /** y[i, o, ..] = x[o, i, ..], whatever the type */
    swapAxes(stream: number, x: number, y: number): void;
  }
}

export {};
