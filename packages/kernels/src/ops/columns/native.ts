declare module '../../native.js' {
  interface Native {
    /** target[.., targetFirst + i] = source[.., sourceFirst + i] for i < cols; as many rows on both sides */
    copyColumns(
      stream: number,
      source: number,
      sourceFirst: number,
      target: number,
      targetFirst: number,
      cols: number,
    ): void;
  }
}

export {};
