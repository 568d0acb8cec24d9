declare module '../../native.js' {
  interface Native {
    /** h, the state after the slice from `h0` (null: zero), and the slice's decay; h and factor may be null. */
    vectorScanForward(
      stream: number,
      g: number,
      resets: number | null,
      x: number,
      h0: number | null,
      h: number | null,
      state: number,
      factor: number | null,
    ): void;
    /** dx, dg (both null if the outputs h are) and dh0 from the adjoint dht of the state after the slice. */
    vectorScanBackward(
      stream: number,
      g: number,
      resets: number | null,
      dh: number,
      dht: number | null,
      h: number | null,
      h0: number | null,
      dx: number | null,
      dg: number | null,
      dh0: number,
    ): void;
  }
}

export {};
