declare module '../../native.js' {
  interface Native {
    /** y = x with the order along `axis` turned round, whatever the type */
    flip(stream: number, axis: number, x: number, y: number): void;
  }
}

export {};
