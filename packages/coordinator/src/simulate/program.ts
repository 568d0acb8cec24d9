/** Computation of known length. */
export interface BusyInstruction {
  readonly kind: 'busy';
  /** Index of the stream. */
  readonly stream: number;
  /** With nothing else on the host. */
  readonly seconds: number;
}

/** A point on a stream that others of the same rank can wait for. */
export interface RecordInstruction {
  readonly kind: 'record';
  readonly stream: number;
  readonly event: number;
}

export interface WaitInstruction {
  readonly kind: 'wait';
  readonly stream: number;
  readonly event: number;
}

/** A message of an exchange, as one of its two ends sees it. */
export interface SimulatedMessage {
  /** Rank of the job. */
  readonly peer: number;
  readonly bytes: number;
}

/**
 * Sends and receives that are under way at the same time; over when all of them are. The n-th send from a to b on a channel is
 * the n-th receive of b from a on it.
 */
export interface ExchangeInstruction {
  readonly kind: 'exchange';
  readonly stream: number;
  /** Messages of different channels between the same ranks do not wait for each other. */
  readonly channel: string;
  readonly sends: readonly SimulatedMessage[];
  readonly recvs: readonly SimulatedMessage[];
}

export type Instruction = BusyInstruction | RecordInstruction | WaitInstruction | ExchangeInstruction;

/** What one rank does in a step, in the order in which its host enqueues it: collectives are the messages they consist of. */
export interface Program {
  readonly streams: readonly string[];
  readonly instructions: readonly Instruction[];
}
