declare module '../../native.js' {
  interface Native {
    /** Rows [begin, end) of out = reset ? E : M S + E; `kind` as in transition.h, `transposed` 0 or 1. */
    transitionApply(
      stream: number,
      kind: number,
      transposed: number,
      factor: number | null,
      rates: number | null,
      reset: number | null,
      E: number,
      S: number,
      out: number,
      begin: number,
      end: number,
    ): void;
    /** out = the factor of `earlier` and then `later`; rows have `rowLength` numbers. */
    transitionCompose(
      stream: number,
      kind: number,
      transposed: number,
      rowLength: number,
      earlier: number,
      later: number,
      out: number,
    ): void;
  }
}

export {};
