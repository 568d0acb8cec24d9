import { deadlockError } from './errors.js';
import { type Due, EventQueue } from './event-queue.js';
import { type Host, hostsOf } from './host.js';
import type { Machine } from './machine.js';
import { Network, type Transfers } from './network.js';
import type { ExchangeInstruction, Instruction, MeetingInstruction, Program } from './program.js';

/** What a stream was doing from `startS` to `endS`; `kind` is that of the instruction. */
export interface Span {
  readonly rank: number;
  readonly stream: string;
  readonly kind: 'busy' | 'wait' | 'exchange' | 'meeting';
  readonly startS: number;
  readonly endS: number;
}

export interface SimulatedRank {
  /** Of the first stream, `compute`: time in computation, stretched where ranks share cores. */
  readonly busyS: number;
  /** Time for which the first stream stood still for another, by that one's name. */
  readonly stoodStillS: Readonly<Record<string, number>>;
  readonly bytesSent: number;
}

export interface Simulation {
  /** Until the last rank has done everything. */
  readonly seconds: number;
  readonly ranks: readonly SimulatedRank[];
}

export interface SimulateOptions {
  /** Gets what every stream does, as it ends. */
  readonly onSpan?: (span: Span) => void;
}

/**
 * Runs one program per rank, in rank order: streams are queues, events order them within a rank and messages between ranks.
 *
 * @throws LongscanError E-SIMULATE where ranks wait for each other for ever, or ends disagree on a message: programs of one
 * schedule never do
 */
export function simulate(
  programs: readonly Program[],
  machine: Machine,
  options: SimulateOptions = {},
): Simulation {
  const queue = new EventQueue();
  const hosts = hostsOf(programs.length, machine, queue);
  const network = new Network(machine.fabric, queue, hosts, machine);
  const meetings = new Meetings(queue);
  const ranks = programs.map(
    (program, rank) => new Rank(rank, program, { host: hosts[rank]!, network, meetings, ...options }),
  );
  for (const rank of ranks) rank.start();
  const seconds = queue.run();
  const stuck = ranks.flatMap(({ streams }) => streams.flatMap((stream) => stream.stuckAt() ?? []));
  if (stuck.length > 0) throw deadlockError(stuck);
  return { seconds, ranks: ranks.map((rank) => rank.result()) };
}

interface Surroundings extends SimulateOptions {
  readonly host: Host;
  readonly network: Network;
  readonly meetings: Meetings;
}

class Rank {
  readonly streams: readonly Stream[];
  /** By number: the stream that has got there. */
  readonly recorded = new Map<number, Stream>();
  readonly waiting = new Map<number, Stream[]>();
  busyS = 0;
  bytesSent = 0;
  private readonly stoodStillS: Record<string, number> = {};

  constructor(
    readonly number: number,
    { streams }: Program,
    readonly around: Surroundings,
  ) {
    this.streams = streams.map(({ name, instructions }, i) => new Stream(this, name, i === 0, instructions));
  }

  start(): void {
    for (const stream of this.streams) stream.due(0);
  }

  record(now: number, event: number, stream: Stream): void {
    this.recorded.set(event, stream);
    const waiting = this.waiting.get(event);
    if (waiting === undefined) return;
    this.waiting.delete(event);
    for (const other of waiting) other.due(now);
  }

  waitFor(event: number, stream: Stream): void {
    const waiting = this.waiting.get(event);
    if (waiting === undefined) this.waiting.set(event, [stream]);
    else waiting.push(stream);
  }

  stoodStill(seconds: number, event: number): void {
    const { name } = this.recorded.get(event)!;
    this.stoodStillS[name] = (this.stoodStillS[name] ?? 0) + seconds;
  }

  result(): SimulatedRank {
    return { busyS: this.busyS, stoodStillS: this.stoodStillS, bytesSent: this.bytesSent };
  }
}

/** Goes from instruction to instruction; due when the one it is at is over. */
class Stream implements Due, Transfers {
  private at = 0;
  private isUnderWay = false;
  private since = 0;
  private numPending = 0;
  readonly rank: number;

  constructor(
    private readonly owner: Rank,
    readonly name: string,
    private readonly isFirst: boolean,
    private readonly instructions: readonly Instruction[],
  ) {
    this.rank = owner.number;
  }

  due(now: number): void {
    if (this.isUnderWay) this.end(now);
    while (this.at < this.instructions.length && this.begin(now, this.instructions[this.at]!)) this.at++;
  }

  messageDone(now: number): void {
    if (--this.numPending === 0) this.due(now);
  }

  stuckAt(): { rank: number; stream: string; instruction: Instruction } | null {
    const instruction = this.instructions[this.at];
    return instruction === undefined ? null : { rank: this.rank, stream: this.name, instruction };
  }

  /** Whether it is over at once. */
  private begin(now: number, instruction: Instruction): boolean {
    switch (instruction.kind) {
      case 'record':
        this.owner.record(now, instruction.event, this);
        return true;
      case 'wait':
        if (this.owner.recorded.has(instruction.event)) return true;
        this.owner.waitFor(instruction.event, this);
        break;
      case 'busy':
        if (instruction.seconds === 0) return true;
        this.owner.around.host.start(now, instruction.seconds, 1, this);
        break;
      case 'exchange':
        if (this.startExchange(now, instruction)) return true;
        break;
      case 'meeting':
        this.owner.bytesSent += instruction.bytesSent;
        this.owner.around.meetings.join(now, instruction, this);
    }
    this.isUnderWay = true;
    this.since = now;
    return false;
  }

  private startExchange(now: number, { channel, sends, recvs }: ExchangeInstruction): boolean {
    const { network } = this.owner.around;
    // One more than there are, so that none is the last while others are still to be started.
    this.numPending = 1 + sends.length;
    for (const message of recvs) if (network.receive(channel, message, this)) this.numPending++;
    for (const message of sends) {
      this.owner.bytesSent += message.bytes;
      network.send(now, channel, message, this);
    }
    return --this.numPending === 0;
  }

  private end(now: number): void {
    const instruction = this.instructions[this.at++] as Exclude<Instruction, { kind: 'record' }>;
    this.isUnderWay = false;
    const { owner, since } = this;
    if (this.isFirst && instruction.kind === 'busy') owner.busyS += now - since;
    if (this.isFirst && instruction.kind === 'wait') owner.stoodStill(now - since, instruction.event);
    if (owner.around.onSpan === undefined || now === since) return;
    owner.around.onSpan({
      rank: this.rank,
      stream: this.name,
      kind: instruction.kind,
      startS: since,
      endS: now,
    });
  }
}

/** Collectives whose ranks wait for the last of them. */
class Meetings {
  private readonly open = new Map<string, Due[]>();

  constructor(private readonly queue: EventQueue) {}

  join(now: number, { channel, size, seconds }: MeetingInstruction, rank: Due): void {
    const present = this.open.get(channel) ?? [];
    present.push(rank);
    this.open.set(channel, present);
    if (present.length < size) return;
    this.open.delete(channel);
    for (const each of present) this.queue.add(now + seconds, each);
  }
}
