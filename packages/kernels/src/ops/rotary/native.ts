declare module '../../native.js' {
  interface Native {
    /** y = x turned by the angles of its positions, or back */
    rotary(
      stream: number,
      theta: number,
      step: number,
      inverse: boolean,
      positions: number,
      x: number,
      y: number,
    ): void;
  }
}

export {};
