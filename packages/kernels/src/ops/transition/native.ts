declare module '../../native.js' {
  interface Native {
    /** Rows [begin, end) of out = reset ? E : M S + E; factor null: M is the identity. */
    transitionApply(
      stream: number,
      factor: number | null,
      reset: number | null,
      E: number,
      S: number,
      out: number,
      begin: number,
      end: number,
    ): void;
  }
}

export {};
