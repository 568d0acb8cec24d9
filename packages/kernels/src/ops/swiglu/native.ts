declare module '../../native.js' {
  interface Native {
    /** y = silu(gate) · up */
    swigluForward(stream: number, gate: number, up: number, y: number): void;
    swigluBackward(stream: number, dy: number, gate: number, up: number, dgate: number, dup: number): void;
  }
}

export {};
