import type { LinkCost } from '@longscan/worker';

/** Computation of known length. */
export interface BusyInstruction {
  readonly kind: 'busy';
  /** With nothing else on the host. */
  readonly seconds: number;
}

/** A point on a stream that others of the same rank can wait for. */
export interface RecordInstruction {
  readonly kind: 'record';
  readonly event: number;
}

export interface WaitInstruction {
  readonly kind: 'wait';
  readonly event: number;
}

/** A message of an exchange, as one of its two ends sees it. */
export interface SimulatedMessage {
  /** Rank of the job. */
  readonly peer: number;
  readonly bytes: number;
  /** Of a send: part of a collective that is one kernel, on links as `collectiveLinks` has them. Default: false. */
  readonly inKernel?: boolean;
  /** Of a send: what it goes over in place of the link between the two. Default: that. */
  readonly link?: LinkCost;
}

/**
 * Sends and receives that are under way at the same time; over when all of them are. The n-th send from a to b on a channel is
 * the n-th receive of b from a on it.
 */
export interface ExchangeInstruction {
  readonly kind: 'exchange';
  /** Messages of different channels between the same ranks do not wait for each other. */
  readonly channel: string;
  readonly sends: readonly SimulatedMessage[];
  readonly recvs: readonly SimulatedMessage[];
}

/**
 * A collective of so many ranks that its messages are not followed one by one: every rank is through `seconds` after the last
 * one has come. The n-th of a rank on a channel is the n-th of all others.
 */
export interface MeetingInstruction {
  readonly kind: 'meeting';
  readonly channel: string;
  /** Ranks that take part. */
  readonly size: number;
  readonly seconds: number;
  /** By this rank. */
  readonly bytesSent: number;
}

export type Instruction =
  | BusyInstruction
  | RecordInstruction
  | WaitInstruction
  | ExchangeInstruction
  | MeetingInstruction;

/** What one rank does in a step, stream by stream: collectives are the messages they consist of. */
export interface Program {
  readonly streams: readonly StreamProgram[];
}

export interface StreamProgram {
  readonly name: string;
  /** In their order. */
  readonly instructions: readonly Instruction[];
}
