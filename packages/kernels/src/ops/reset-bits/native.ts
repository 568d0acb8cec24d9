declare module '../../native.js' {
  interface Native {
    /** bits[b] = 1 if any of resets[b] is not zero, else 0 */
    resetBits(stream: number, resets: number, bits: number): void;
  }
}

export {};
