declare module '../../native.js' {
  interface Native {
    /** values = high · 2¹⁶ + low, as the bits of f32, low with a sign; high and low are bf16 */
    halvesJoin(stream: number, high: number, low: number, values: number): void;
    /** The inverse */
    halvesSplit(stream: number, values: number, high: number, low: number): void;
  }
}

export {};
