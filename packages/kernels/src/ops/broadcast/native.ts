declare module '../../native.js' {
  interface Native {
    /** y = a · b, a and y [outer, middle, inner], b [middle]; of one type, on a GPU each f32 or bf16 */
    broadcastMultiply(stream: number, a: number, b: number, y: number, middle: number, inner: number): void;
    /** y = a + factor · b, the same shapes and types */
    broadcastAdd(
      stream: number,
      factor: number,
      a: number,
      b: number,
      y: number,
      middle: number,
      inner: number,
    ): void;
    /** partial [blocks, middle] = Σ dy · a (dy alone if a is null) over blocks of 64 outer rows and over inner */
    broadcastReduce(
      stream: number,
      dy: number,
      a: number | null,
      partial: number,
      middle: number,
      inner: number,
    ): void;
    /** y [.., times, cols] = x [.., cols] */
    repeatRows(stream: number, x: number, y: number): void;
    /** dx [.., cols] = Σ dy [.., times, cols] over times */
    sumRepeats(stream: number, dy: number, dx: number): void;
  }
}

export {};
