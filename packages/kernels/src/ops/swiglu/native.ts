declare module '../../native.js' {
  interface Native {
    /** y = silu(gate) · up */
    swigluForward(stream: number, gate: number, up: number, y: number): void;
    /** And y again, unless null: it may be dy */
    swigluBackward(
      stream: number,
      dy: number,
      gate: number,
      up: number,
      dgate: number,
      dup: number,
      y: number | null,
    ): void;
    /** The same of gate and up side by side in the rows of `pair`, on a GPU only; rows of one of them are a multiple of 16 bytes; dpair may be pair */
    swigluPairForward(stream: number, pair: number, y: number): void;
    swigluPairBackward(stream: number, dy: number, pair: number, dpair: number, y: number | null): void;
  }
}

export {};
