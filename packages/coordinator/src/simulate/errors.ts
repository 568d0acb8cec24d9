import { LongscanError } from '@longscan/worker/protocol';
import type { Instruction } from './program.js';

/** A stream that did not get to its end. */
export interface StuckStream {
  readonly rank: number;
  readonly stream: string;
  readonly instruction: Instruction;
}

/** Streams that are named; all others are counted. */
const mostNamed = 8;

/** Both ends of a message must say the same of it. */
export function mismatchError(from: number, to: number, sent: number, expected: number): LongscanError {
  return inconsistent(`rank ${from} sends ${sent} bytes to rank ${to}, which expects ${expected}`);
}

/** Says who waits for what when nothing can happen any more. */
export function deadlockError(stuck: readonly StuckStream[]): LongscanError {
  const named = stuck
    .slice(0, mostNamed)
    .map(({ rank, stream, instruction }) => `rank ${rank}'s ${stream} ${describe(instruction)}`);
  const rest = stuck.length - named.length;
  const more = rest > 0 ? `; and ${rest} more` : '';
  return inconsistent(`${stuck.length} streams that wait for ever: ${named.join('; ')}${more}`);
}

function inconsistent(found: string): LongscanError {
  return new LongscanError({
    code: 'E-SIMULATE',
    where: 'simulation',
    found,
    expected: 'schedules in which every message has two ends and every event comes',
    fix: 'this is an error in longscan: please report it with the job',
    exitCode: 1,
  });
}

function describe(instruction: Instruction): string {
  switch (instruction.kind) {
    case 'wait':
      return `waits for event ${instruction.event}`;
    case 'meeting':
      return `waits for ${instruction.size - 1} other ranks on ${instruction.channel}`;
    case 'exchange': {
      const of = (verb: string, messages: typeof instruction.sends) =>
        messages.map(({ peer, bytes }) => `${verb} rank ${peer} (${bytes} bytes)`);
      const { channel, sends, recvs } = instruction;
      return `is in an exchange on ${channel}: ${[...of('to', sends), ...of('from', recvs)].join(', ')}`;
    }
    default:
      return `is at ${instruction.kind}`;
  }
}
