declare module '../../native.js' {
  interface Native {
    /** y = scale · f(x) */
    activationForward(stream: number, activation: number, scale: number, x: number, y: number): void;
    /** dx = scale · f'(x) · dy */
    activationBackward(
      stream: number,
      activation: number,
      scale: number,
      x: number,
      dy: number,
      dx: number,
    ): void;
    /** y = a · b */
    multiply(stream: number, a: number, b: number, y: number): void;
    /** y = factor · x + shift */
    affine(stream: number, factor: number, shift: number, x: number, y: number): void;
    /** target = value, everywhere; any dtype (bf16: only zero) */
    fill(stream: number, target: number, value: number): void;
    /** target = source, same size and dtype */
    copy(stream: number, source: number, target: number): void;
  }
}

export {};
