declare module '../../native.js' {
  interface Native {
    /** y = scale · f(x), of one type; on a GPU f32 may be made of bf16. */
    activationForward(stream: number, activation: number, scale: number, x: number, y: number): void;
    /** dx = scale · f'(x) · dy, dx of x's type, dy of y's */
    activationBackward(
      stream: number,
      activation: number,
      scale: number,
      x: number,
      dy: number,
      dx: number,
    ): void;
    /** y = a · b, of one type; on a GPU each may be f32 or bf16. */
    multiply(stream: number, a: number, b: number, y: number): void;
    /** y = factor · x + shift */
    affine(stream: number, factor: number, shift: number, x: number, y: number): void;
    /** y = x, of f32 or bf16 each; bf16 is rounded to nearest, ties to even */
    cast(stream: number, x: number, y: number): void;
    /** target = value, everywhere; any dtype */
    fill(stream: number, target: number, value: number): void;
    /** target = source, same size and dtype */
    copy(stream: number, source: number, target: number): void;
  }
}

export {};
