import {
  type CollectiveEntry,
  type ExchangeEntry,
  type FabricCost,
  type GroupName,
  type OpEntry,
  type Schedule,
  slowestLink,
} from '@longscan/worker';
import type { Mesh } from '@longscan/worker/protocol';
import { algorithmOf, exchangesOf } from './collectives.js';
import { bytesSentIn, meetingSeconds, numMessages } from './meeting-seconds.js';
import type { Instruction, Program } from './program.js';

/** What turns a schedule into a program. */
export interface ProgramOptions {
  readonly mesh: Mesh;
  readonly engine: 'tcp' | 'nccl';
  readonly fabric: FabricCost;
  readonly secondsOf: (op: OpEntry) => number;
}

/** Collectives of more messages are taken as a whole: a ring of 4,096 ranks has 16 million a vector. */
const mostMessages = 100_000;

/** One program per rank, in rank order. Ranks share what is the same for them. */
export function programsOf(schedules: readonly Schedule[], options: ProgramOptions): Program[] {
  const shared = new Map<OpEntry, Instruction>();
  return schedules.map((schedule, rank) => programOf(schedule, rank, options, shared));
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
  shared: Map<OpEntry, Instruction>,
): Program {
  const groups = groupsOf(rank, options.mesh);
  const recorded = new Set<number>();
  const busy = (entry: OpEntry): Instruction => {
    const known = shared.get(entry);
    if (known !== undefined) return known;
    const made = { kind: 'busy', stream: entry.stream, seconds: options.secondsOf(entry) } as const;
    shared.set(entry, made);
    return made;
  };
  const instructions: Instruction[] = [];
  for (const entry of entries) {
    switch (entry.kind) {
      case 'op':
        instructions.push(busy(entry));
        break;
      case 'record':
        recorded.add(entry.event);
        instructions.push(entry);
        break;
      case 'wait':
        // One that is recorded further on is that of the step before, which is over.
        if (recorded.has(entry.event)) instructions.push(entry);
        break;
      case 'exchange': {
        const group = groups[entry.group];
        instructions.push(exchange(entry.stream, group, entry));
        break;
      }
      case 'collective':
        instructions.push(...collective(entry, groups[entry.group], options));
    }
  }
  return { streams, instructions };
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
  const { stream } = entry;
  const algorithm = algorithmOf(entry, size, engine);
  if (numMessages(entry, size, algorithm) > mostMessages) {
    return [
      {
        ...{ kind: 'meeting', stream, channel, size },
        seconds: meetingSeconds(entry, size, algorithm, slowestLink(size, fabric)),
        bytesSent: bytesSentIn(entry, size, algorithm),
      },
    ];
  }
  return exchangesOf(entry, { rank, size }, algorithm).map((messages) => exchange(stream, group, messages));
}

/** `messages` are those of ranks of the group. */
function exchange(
  stream: number,
  { channel, first }: Group,
  { sends, recvs }: Pick<ExchangeEntry, 'sends' | 'recvs'>,
): Instruction {
  const ofJob = (messages: typeof sends) =>
    messages.map(({ peer, bytes }) => ({ peer: first + peer, bytes }));
  return { kind: 'exchange', stream, channel, sends: ofJob(sends), recvs: ofJob(recvs) };
}
