import { bytesByCode, denseTransitionCode, type Native, type NativeObserver } from '@longscan/kernels';
import type {
  ChainEntry,
  CollectiveEntry,
  GroupName,
  OpEntry,
  ScheduledMessage,
  ScheduleEntry,
} from './schedule.js';

/** Native functions that a step calls and that enqueue nothing. */
const onHost: ReadonlySet<string> = new Set([
  ...['contextCreate', 'contextStats', 'streamSync', 'streamProgress'],
  ...['commInProcessGroup', 'commBytesSent', 'commClose'],
]);

/** Bytes of a tensor, in all and of one number, and what its last dimension has. */
interface TensorBytes {
  readonly all: number;
  readonly each: number;
  readonly rowLength: number;
}

type ExchangeArgs = Readonly<Parameters<Native['commExchange']>>;
type ChainArgs = Readonly<Parameters<Native['commChain']>>;

/**
 * Notes what a device enqueues, from the native calls that it makes. Events are numbered through all that is ever
 * recorded; entries that say the same are one object.
 */
export class Recorder {
  /** Names of the device's streams; communicators' are those of their groups. */
  readonly streams: string[] = [];
  private readonly streamIndex = new Map<number, number>();
  private readonly tensors = new Map<number, TensorBytes>();
  /** Of each stream's tickets, the number of the event. */
  private readonly events = new Map<number, Map<number, number>>();
  private readonly ops = new Map<string, OpEntry>();
  private numEvents = 0;
  private entries: ScheduleEntry[] = [];
  /** The op called last, whose FLOPs are counted behind its call. */
  private last: Omit<OpEntry, 'flops'> | null = null;
  private flopsBefore = 0;
  /** Scratch of `bytesOfAll`, which runs for every op. */
  private readonly touched = new Set<unknown>();

  /** `flops`: those that the device has counted so far. */
  constructor(private readonly flops: () => number) {}

  /** For the device. */
  readonly observe: NativeObserver = (name, args, result) => {
    switch (name) {
      case 'streamCreate': {
        const stream = result as number;
        this.streamIndex.set(stream, this.streams.length);
        this.events.set(stream, new Map());
        this.streams.push(groupless(args[1] as string));
        return;
      }
      case 'tensorCreate': {
        const each = bytesByCode.get(args[1] as number)!;
        this.noteTensor(result as number, args[2] as readonly number[], each);
        return;
      }
      case 'tensorView': {
        const { each } = this.tensors.get(args[1] as number)!;
        this.noteTensor(result as number, args[3] as readonly number[], each);
        return;
      }
      case 'tensorRelease':
        this.tensors.delete(args[0] as number);
        return;
      default:
        if (!onHost.has(name)) this.note(name, args, result);
    }
  };

  /** What was enqueued since the last call. */
  take(): readonly ScheduleEntry[] {
    this.finishOp();
    const { entries } = this;
    this.entries = [];
    return entries;
  }

  private note(name: string, args: readonly unknown[], result: unknown): void {
    const id = args[0] as number;
    const stream = this.streamIndex.get(id)!;
    this.finishOp();
    switch (name) {
      case 'streamRecord': {
        const event = this.numEvents++;
        this.events.get(id)!.set(result as number, event);
        this.entries.push({ kind: 'record', stream, event });
        return;
      }
      case 'streamWait': {
        const event = this.events.get(args[1] as number)!.get(args[2] as number)!;
        this.entries.push({ kind: 'wait', stream, event });
        return;
      }
      case 'commExchange': {
        const [, , sends, sendPeers, receives, receivePeers] = args as ExchangeArgs;
        this.entries.push({
          ...{ kind: 'exchange', stream, group: this.groupOf(stream) },
          sends: this.messages(sends, sendPeers),
          recvs: this.messages(receives, receivePeers),
        });
        return;
      }
      case 'commChain':
        this.entries.push(this.chainOf(stream, args as ChainArgs));
        return;
      case 'commAllGather':
      case 'commReduceScatter':
      case 'commAllReduce':
      case 'commBroadcast':
        this.noteCollective(stream, verbs[name], this.bytesOf(args[2]));
        return;
      case 'commBarrier':
        this.noteCollective(stream, 'barrier', 0);
        return;
      default:
        this.noteOp(stream, name, args);
    }
  }

  private chainOf(stream: number, args: ChainArgs): ChainEntry {
    const [, , code, , , , , E, , step] = args;
    const { all: bytes, each, rowLength } = this.tensors.get(E)!;
    return {
      ...{ kind: 'chain', stream, group: this.groupOf(stream), step: step === 1 ? 1 : -1, bytes },
      ...{ rows: bytes / each / rowLength, isDense: code === denseTransitionCode },
    };
  }

  private noteOp(stream: number, name: string, args: readonly unknown[]): void {
    this.last = { kind: 'op', stream, name, bytes: this.bytesOfAll(args) };
    this.flopsBefore = this.flops();
  }

  private finishOp(): void {
    if (this.last === null) return;
    const { stream, name, bytes } = this.last;
    const flops = this.flops() - this.flopsBefore;
    const key = `${stream} ${name} ${bytes} ${flops}`;
    const entry = this.ops.get(key) ?? { ...this.last, flops };
    this.ops.set(key, entry);
    this.entries.push(entry);
    this.last = null;
  }

  private noteCollective(stream: number, verb: CollectiveEntry['verb'], bytes: number): void {
    this.entries.push({ kind: 'collective', stream, group: this.groupOf(stream), verb, bytes });
  }

  private noteTensor(id: number, shape: readonly number[], each: number): void {
    const all = shape.reduce((product, dim) => product * dim, each);
    this.tensors.set(id, { all, each, rowLength: shape.at(-1) ?? 1 });
  }

  private bytesOf(tensor: unknown): number {
    return this.tensors.get(tensor as number)?.all ?? 0;
  }

  /** Of the tensors among arguments, each counted once. */
  private bytesOfAll(args: readonly unknown[]): number {
    const { touched } = this;
    touched.clear();
    for (let i = 1; i < args.length; i++) {
      const arg = args[i];
      if (Array.isArray(arg)) for (const one of arg) touched.add(one);
      else touched.add(arg);
    }
    let bytes = 0;
    for (const one of touched) bytes += this.bytesOf(one);
    return bytes;
  }

  private messages(tensors: readonly number[], peers: readonly number[]): ScheduledMessage[] {
    return tensors.map((tensor, i) => ({ peer: peers[i]!, bytes: this.bytesOf(tensor) }));
  }

  private groupOf(stream: number): GroupName {
    return this.streams[stream] as GroupName;
  }
}

const verbs = {
  commAllGather: 'allGather',
  commReduceScatter: 'reduceScatter',
  commAllReduce: 'allReduce',
  commBroadcast: 'broadcast',
} as const;

/** `sp-3`, the fourth group of its kind, is `sp` to its own ranks. */
function groupless(stream: string): string {
  return stream.replace(/-\d+$/, '');
}
