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
    /** Whether the next two take such tensors here: on Hopper, in bf16, with rows of whole 16 bytes */
    linearSwigluFits(stream: number, x: number, gate: number, up: number, down: number): boolean;
    /** pair = [x Gateᵀ, x Upᵀ], side by side in its rows, unless null, and y = silu of the one · the other, in one kernel */
    linearSwigluForward(
      stream: number,
      x: number,
      gate: number,
      up: number,
      pair: number | null,
      y: number,
    ): void;
    /** What swigluPairBackward makes of dy Down, which is not written, in one kernel */
    linearSwigluBackward(
      stream: number,
      dy: number,
      down: number,
      pair: number,
      dpair: number,
      y: number | null,
    ): void;
  }
}

export {};
