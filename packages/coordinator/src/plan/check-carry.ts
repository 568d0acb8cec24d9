import { type JobSpec, LongscanError } from '@longscan/worker/protocol';
import type { Layout } from './layout.js';

/**
 * Refuses a layout in which a step's memory could not be handed on to the next step.
 * @throws LongscanError E-CARRY, `where` being the key to change
 */
export function checkCarry({ data, model, parallel }: JobSpec, { padTokens, paddedLength }: Layout): void {
  if (!data.carry) return;
  if (padTokens > 0) {
    // Padding would be read into the memory as if it were text.
    throw refusal(
      'data.sequenceLength',
      `${data.sequenceLength} tokens with data.carry, which are padded to ${paddedLength}`,
      `a multiple of parallel.sp x model.chunk = ${parallel.sp * model.chunk}`,
      `data.sequenceLength = ${paddedLength}`,
    );
  }
  if (parallel.dp > 1) {
    const found = `${parallel.dp} replicas with data.carry`;
    throw refusal('parallel.dp', found, '1: checkpoints hold the memory of one', 'parallel.dp = 1');
  }
  if (data.accumulate > 1) {
    const found = `${data.accumulate} micro-batches with data.carry`;
    throw refusal('data.accumulate', found, '1: a step hands on one memory', 'data.accumulate = 1');
  }
}

function refusal(where: string, found: string, expected: string, fix: string): LongscanError {
  return new LongscanError({ code: 'E-CARRY', where, found, expected, fix, exitCode: 2 });
}
