/** Time of one kind of op: linear in what it moves and calculates. */
export interface OpCost {
  /** Of a call that does nothing. */
  readonly launchS: number;
  readonly secondsPerByte: number;
  readonly secondsPerFlop: number;
}

/** What ops cost on a rank of one kind of machine. */
export interface ComputeCosts {
  /** Says which machine, and with how many threads a rank. */
  readonly name: string;
  /** By native function. */
  readonly ops: Readonly<Record<string, OpCost>>;
  /** Of functions that were never measured. */
  readonly other: OpCost;
  /** They are a file's, saved of other jobs or by another version: what it does not have is worth telling. Default: false. */
  readonly isSaved?: boolean;
  /** Ranks of one host that can compute at once; more of them take turns. Null: each has a device of its own. */
  readonly ranksAtOnce: number | null;
  /**
   * How many times longer an op takes while n ranks of a host compute at once, by n - 1: they share caches and memory. The first
   * is 1; `ranksAtOnce` of them.
   */
  readonly slowdown: readonly number[];
  /**
   * Core time beside an op's own that a call takes, on the host's threads that build, enqueue and launch it: hidden where a rank
   * has a core to spare. Left out: nothing, as where each has a device of its own.
   */
  readonly enqueueS?: number | undefined;
  /** Where the numbers are not those of this machine, one sentence each. */
  readonly notes?: readonly string[];
}
