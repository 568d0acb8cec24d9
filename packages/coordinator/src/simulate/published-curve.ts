/** Points of a paper that stand beside a modelled curve: another job on another machine, in the same quantity. */
export interface PublishedCurve {
  /** As the paper names it. */
  readonly name: string;
  /** What it is in longscan. */
  readonly strategy: string;
  /** Paper, model, GPUs and what stays the same over the curve. */
  readonly source: string;
  /** Number of GPUs that has an efficiency of 1: the smallest in the curve's range of which the paper has a value. */
  readonly base: number;
  readonly points: readonly {
    readonly numRanks: number;
    /** Throughput per GPU over that at `base`. */
    readonly efficiency: number;
  }[];
}
