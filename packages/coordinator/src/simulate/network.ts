import type { FabricCost, LinkCost } from '@longscan/worker';
import { collectiveLinks } from './engine.js';
import { mismatchError } from './errors.js';
import type { Due, EventQueue } from './event-queue.js';
import type { Host } from './host.js';
import type { Machine } from './machine.js';
import type { SimulatedMessage } from './program.js';

/** Sends and receives of a rank that are under way. */
export interface Transfers {
  readonly rank: number;
  /** A send or a receive is over. */
  messageDone(now: number): void;
}

/** A message or a receive that has not met its other end. */
interface Unmatched {
  readonly bytes: number;
  readonly receiver: Transfers | null;
  readonly message: Message | null;
}

/**
 * Ports and links. Every rank has one port outwards and one inwards: a message keeps the sender's busy for its transfer, at least
 * the gap, and has arrived one latency later, or when the receiver's port has taken those that came before it. What is sent
 * before its receive waits at the receiver.
 */
export class Network {
  private readonly channels = new Map<string, Map<number, Unmatched[]>>();
  private readonly outgoing: OutgoingPort[];
  /** Time at which the port inwards is free, by rank. */
  private readonly incomingFree: Float64Array;
  private readonly overheadS: number;
  private readonly kernelLinks: FabricCost;

  constructor(
    private readonly links: FabricCost,
    private readonly queue: EventQueue,
    private readonly hosts: readonly Host[],
    { coresPerMessage, overheadS = 0 }: Pick<Machine, 'coresPerMessage' | 'overheadS'>,
  ) {
    this.overheadS = overheadS;
    this.kernelLinks = collectiveLinks(links, 'nccl');
    this.outgoing = hosts.map((host) => new OutgoingPort(host, coresPerMessage));
    this.incomingFree = new Float64Array(hosts.length);
  }

  send(now: number, channel: string, sent: SimulatedMessage, sender: Transfers): void {
    const { peer, bytes, inKernel = false } = sent;
    const links = inKernel ? this.kernelLinks : this.links;
    const link = sent.link ?? linkBetween(links, sender.rank, peer);
    const message = new Message(this, sender, peer, bytes, link);
    const queue = this.queueOf(channel, sender.rank, peer);
    const first = queue[0];
    if (first?.receiver) {
      queue.shift();
      message.meet(first.receiver, first.bytes);
    } else queue.push({ bytes, receiver: null, message });
    const port = this.outgoing[sender.rank]!;
    this.handle(now, sender.rank, (ready) => port.send(ready, message));
  }

  /** What a rank's host has to do for a message. */
  handle(now: number, rank: number, then: (now: number) => void): void {
    if (this.overheadS === 0) then(now);
    else this.hosts[rank]!.start(now, this.overheadS, 1, { due: then });
  }

  /** False: the message has been here before. */
  receive(channel: string, { peer, bytes }: SimulatedMessage, receiver: Transfers): boolean {
    const queue = this.queueOf(channel, peer, receiver.rank);
    const first = queue[0];
    if (!first?.message) {
      queue.push({ bytes, receiver, message: null });
      return true;
    }
    queue.shift();
    return first.message.meet(receiver, bytes);
  }

  /** Lets the last byte of a message into its receiver; gives the time at which it has taken all of it. */
  take(now: number, { to, link, bytes }: Message): number {
    // A word between kernels slips in beside whatever else is arriving.
    if (bytes === 0 && link.gapS === 0) return now;
    const seconds = bytes / link.bandwidthBytesPerS;
    const free = this.incomingFree[to]!;
    const arrival = Math.max(now, free + seconds);
    this.incomingFree[to] = arrival + Math.max(0, link.gapS - seconds);
    return arrival;
  }

  later(time: number, event: Due): void {
    this.queue.add(time, event);
  }

  private queueOf(channel: string, from: number, to: number): Unmatched[] {
    const pairs = getOrAdd(this.channels, channel, () => new Map<number, Unmatched[]>());
    return getOrAdd(pairs, from * this.outgoing.length + to, () => []);
  }
}

function linkBetween(links: FabricCost, from: number, to: number): LinkCost {
  const { nodes } = links;
  if (nodes === undefined) return links;
  const isInside = Math.floor(from / nodes.ranksPerNode) === Math.floor(to / nodes.ranksPerNode);
  return isInside ? links : nodes.between;
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}

/** On its way from `sender`; what happens to it next is what it is due for. */
class Message implements Due {
  private receiver: Transfers | null = null;
  private hasLeft = false;
  private isTaken = false;
  private hasArrived = false;

  constructor(
    private readonly network: Network,
    private readonly sender: Transfers,
    readonly to: number,
    readonly bytes: number,
    readonly link: LinkCost,
  ) {}

  /** False: it has arrived before. */
  meet(receiver: Transfers, bytes: number): boolean {
    if (bytes !== this.bytes) throw mismatchError(this.sender.rank, this.to, this.bytes, bytes);
    this.receiver = receiver;
    return !this.hasArrived;
  }

  due(now: number): void {
    if (!this.hasLeft) {
      this.hasLeft = true;
      this.network.later(now + this.link.latencyS, this);
      this.sender.messageDone(now);
      return;
    }
    if (!this.isTaken) {
      this.isTaken = true;
      const arrival = this.network.take(now, this);
      if (arrival > now) {
        this.network.later(arrival, this);
        return;
      }
    }
    this.network.handle(now, this.to, (ready) => {
      this.hasArrived = true;
      this.receiver?.messageDone(ready);
    });
  }
}

/** Messages of a rank leave one after the other. */
class OutgoingPort {
  private readonly waiting: Message[] = [];
  private isBusy = false;

  constructor(
    private readonly host: Host,
    private readonly cores: number,
  ) {}

  send(now: number, message: Message): void {
    this.waiting.push(message);
    if (!this.isBusy) this.next(now);
  }

  private next(now: number): void {
    const message = this.waiting.shift();
    this.isBusy = message !== undefined;
    if (message === undefined) return;
    const { bytes, link } = message;
    const seconds = bytes / link.bandwidthBytesPerS;
    const left: Due = {
      due: (time) => {
        message.due(time);
        const rest = link.gapS - seconds;
        if (rest > 0) this.host.start(time, rest, this.cores, { due: (end) => this.next(end) });
        else this.next(time);
      },
    };
    this.host.start(now, seconds, this.cores, left);
  }
}
