/** Which group of ranks a message belongs to: those that hold slices of one sequence, or all of them. */
export type GroupName = 'sp' | 'world';

/** A message of an exchange, as one of its two ends sees it. */
export interface ScheduledMessage {
  /** Rank within the group. */
  readonly peer: number;
  readonly bytes: number;
}

/** An op: a native function that runs on a stream. */
export interface OpEntry {
  readonly kind: 'op';
  /** Index into `Schedule.streams`. */
  readonly stream: number;
  /** Name of the native function. */
  readonly name: string;
  /** Of all tensors that it reads or writes, each counted once. */
  readonly bytes: number;
  readonly flops: number;
  /** Calls that follow each other, each with these bytes and FLOPs; left out: one. */
  readonly times?: number;
}

/** A point on a stream that others can wait for. */
export interface RecordEntry {
  readonly kind: 'record';
  readonly stream: number;
  /** Number of the event, from 0 in the order of the schedule. */
  readonly event: number;
}

/**
 * What is enqueued on the stream later starts after the event, as it was recorded last: one that is recorded further on in
 * the schedule is that of the step before, and nothing is waited for in a first step.
 */
export interface WaitEntry {
  readonly kind: 'wait';
  readonly stream: number;
  readonly event: number;
}

/** Sends and receives that are under way at the same time. */
export interface ExchangeEntry {
  readonly kind: 'exchange';
  readonly stream: number;
  readonly group: GroupName;
  readonly sends: readonly ScheduledMessage[];
  readonly recvs: readonly ScheduledMessage[];
}

/**
 * A state's way along all ranks of a group as one kernel on each, through mapped memory: every rank has one at the same place,
 * which waits for the state, hands M S + E on and is over when it has.
 */
export interface ChainEntry {
  readonly kind: 'chain';
  readonly stream: number;
  readonly group: GroupName;
  /** Up the ranks, or down. */
  readonly step: 1 | -1;
  /** Of the state. */
  readonly bytes: number;
  /** Between which it is cut. */
  readonly rows: number;
  /** Whether M is dense, which takes longer to apply and is cut otherwise. */
  readonly isDense: boolean;
}

/** A collective of a whole group; every rank of it has one at the same place. */
export interface CollectiveEntry {
  readonly kind: 'collective';
  readonly stream: number;
  readonly group: GroupName;
  readonly verb: 'allGather' | 'reduceScatter' | 'allReduce' | 'broadcast' | 'barrier';
  /** allGather: what each rank gives; reduceScatter, allReduce, broadcast: the whole vector; barrier: 0. */
  readonly bytes: number;
}

export type ScheduleEntry = OpEntry | RecordEntry | WaitEntry | ExchangeEntry | ChainEntry | CollectiveEntry;

/** What one rank enqueues in one training step, in the order of its host. */
export interface Schedule {
  /** Names of its streams; `compute` is the first. */
  readonly streams: readonly string[];
  readonly entries: readonly ScheduleEntry[];
}
