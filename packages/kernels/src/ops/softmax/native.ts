declare module '../../native.js' {
  interface Native {
    /** y = softmax of x over the last dim */
    softmaxForward(stream: number, x: number, y: number): void;
    /**
     * the same over the `count` largest of each row; selected, i32, is 1 there and 0 elsewhere, as y is; both may have
     * more columns than x, which are 1
     */
    softmaxOfLargest(stream: number, x: number, count: number, y: number, selected: number): void;
    /** dx = y (dy - Σ y dy), over the columns that dx has */
    softmaxBackward(stream: number, dy: number, y: number, dx: number): void;
  }
}

export {};
