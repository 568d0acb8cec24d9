declare module '../../native.js' {
  interface Native {
    /** target[.., targetFirst + i] = source[.., sourceFirst + i] for i < cols; as many rows on both sides. `source` null: zeros */
    copyColumns(
      stream: number,
      source: number | null,
      sourceFirst: number,
      target: number,
      targetFirst: number,
      cols: number,
    ): void;
  }
}

export {};
