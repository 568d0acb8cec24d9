import {
  type ChainEntry,
  type CollectiveEntry,
  type ExchangeEntry,
  type FabricCost,
  type GroupName,
  type OpEntry,
  type Schedule,
  slowestLink,
} from '@longscan/worker';
import type { Mesh } from '@longscan/worker/protocol';
import { chainSteps } from './chain.js';
import { exchangesOf, type Method, methodOf } from './collectives.js';
import { collectiveLinks, type Engine } from './engine.js';
import { bytesSentIn, meetingSeconds, numMessages } from './meeting-seconds.js';
import type {
  BusyInstruction,
  ExchangeInstruction,
  Instruction,
  Program,
  SimulatedMessage,
} from './program.js';
import { ProgramBuilder, SharedComputations } from './program-builder.js';

/** What turns a schedule into a program. */
export interface ProgramOptions {
  readonly mesh: Mesh;
  readonly engine: Engine;
  readonly fabric: FabricCost;
  readonly secondsOf: (op: OpEntry) => number;
  /** Core time that the host takes for each entry, beside the streams. Default: 0. */
  readonly enqueueS?: number | undefined;
  /** Steps that are enqueued one behind the other. Default: 1. */
  readonly numSteps?: number;
}

/** Collectives of more messages are taken as a whole: a ring of 4,096 ranks has 16 million a vector. */
const mostMessages = 20_000;

/** One program per rank, in rank order. */
export function programsOf(schedules: readonly Schedule[], options: ProgramOptions): Program[] {
  const known = new Map<OpEntry, number>();
  const secondsOf = (op: OpEntry): number => {
    let seconds = known.get(op);
    if (seconds === undefined) {
      seconds = options.secondsOf(op);
      known.set(op, seconds);
    }
    return seconds;
  };
  const shared = new SharedComputations();
  return schedules.map((schedule, rank) => programOf(schedule, rank, { ...options, secondsOf }, shared));
}

/** A group of ranks as one of them sees it. */
interface Group {
  readonly channel: string;
  /** Rank of the job that is its rank 0; the others follow it. */
  readonly first: number;
  readonly rank: number;
  readonly size: number;
}

function programOf(
  { streams, entries }: Schedule,
  rank: number,
  options: ProgramOptions,
  shared: SharedComputations,
): Program {
  const groups = groupsOf(rank, options.mesh);
  const numEvents = entries.reduce((count, { kind }) => count + Number(kind === 'record'), 0);
  const host = streams.length;
  const numCalls = entries.reduce(
    (count, entry) => count + (entry.kind === 'op' ? (entry.times ?? 1) : 1),
    0,
  );
  const enqueueS = (options.enqueueS ?? 0) * numCalls;
  const builder = new ProgramBuilder([...streams, 'host'], shared);
  // The scans of all layers that are alike are one recording, so that one exchange stands in a program many times.
  const exchanges = new Map<ExchangeEntry, Instruction>();
  const exchangeFor = (entry: ExchangeEntry): Instruction => {
    let made = exchanges.get(entry);
    if (made === undefined) {
      made = exchange(groups[entry.group], entry);
      exchanges.set(entry, made);
    }
    return made;
  };
  const chains = new Map<ChainEntry, readonly (BusyInstruction | ExchangeInstruction)[]>();
  const chainFor = (entry: ChainEntry) => {
    let made = chains.get(entry);
    if (made === undefined) {
      made = chain(entry, groups[entry.group], options.fabric);
      chains.set(entry, made);
    }
    return made;
  };
  for (let step = 0; step < (options.numSteps ?? 1); step++) {
    const recorded = new Set<number>();
    // All at once: it is far ahead of the streams, and only the cores that it takes from them count.
    builder.busy(host, enqueueS);
    for (const entry of entries) {
      const { stream } = entry;
      switch (entry.kind) {
        case 'op':
          builder.busy(stream, (entry.times ?? 1) * options.secondsOf(entry));
          break;
        case 'record':
          recorded.add(entry.event);
          builder.push(stream, { kind: 'record', event: entry.event + step * numEvents });
          break;
        case 'wait': {
          // One that is recorded further on is that of the step before, and before the first one all is over.
          const ofStep = recorded.has(entry.event) ? step : step - 1;
          if (ofStep >= 0) builder.push(stream, { kind: 'wait', event: entry.event + ofStep * numEvents });
          break;
        }
        case 'exchange':
          builder.push(stream, exchangeFor(entry));
          break;
        case 'chain':
          for (const each of chainFor(entry)) {
            if (each.kind === 'busy') builder.busy(stream, each.seconds);
            else builder.push(stream, each);
          }
          break;
        case 'collective':
          for (const each of collective(entry, groups[entry.group], options)) builder.push(stream, each);
      }
    }
  }
  return builder.build();
}

function groupsOf(rank: number, { sp, numRanks }: Mesh): Record<GroupName, Group> {
  const sequence = Math.floor(rank / sp);
  return {
    sp: { channel: `sp-${sequence}`, first: sequence * sp, rank: rank % sp, size: sp },
    world: { channel: 'world', first: 0, rank, size: numRanks },
  };
}

function collective(entry: CollectiveEntry, group: Group, { engine, fabric }: ProgramOptions): Instruction[] {
  const { channel, rank, size } = group;
  if (size === 1) return [];
  const link = slowestLink(size, collectiveLinks(fabric, engine));
  const timeOf = (how: Method) => meetingSeconds(entry, size, how, link);
  const meeting = (how: Method): Instruction => ({
    ...{ kind: 'meeting', channel, size },
    ...{ seconds: timeOf(how), bytesSent: bytesSentIn(entry, size, how) },
  });
  const method = methodOf(entry, size, engine);
  // NCCL sums along a tree where that is faster: on many ranks, where a vector's blocks are small.
  const tree: Method = { engine, algorithm: 'tree' };
  const hasTree = engine === 'nccl' && entry.verb === 'allReduce';
  if (hasTree && timeOf(tree) < timeOf(method)) return [meeting(tree)];
  if (numMessages(entry, size, method) > mostMessages) return [meeting(method)];
  return exchangesOf(entry, { rank, size }, method).map((messages) => exchange(group, messages));
}

function chain(
  entry: ChainEntry,
  group: Group,
  { chains: link }: FabricCost,
): (BusyInstruction | ExchangeInstruction)[] {
  if (link === undefined)
    throw new TypeError('a chain through mapped memory on links that say nothing of it');
  return chainSteps(entry, group, link).map((each) => (each.kind === 'busy' ? each : exchange(group, each)));
}

/** `messages` are those of ranks of the group. */
function exchange(
  { channel, first }: Group,
  { sends, recvs }: { readonly [way in 'sends' | 'recvs']: readonly SimulatedMessage[] },
): ExchangeInstruction {
  const ofJob = (messages: readonly SimulatedMessage[]) =>
    messages.map((message) => ({ ...message, peer: first + message.peer }));
  return { kind: 'exchange', channel, sends: ofJob(sends), recvs: ofJob(recvs) };
}
