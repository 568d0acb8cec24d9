import { type Communicator, fromArray, LongscanError } from '@longscan/kernels';

/** Why a measurement may be left out of the others. */
const reasons: readonly string[] = ['E-CUDA-KERNEL', 'E-MEMORY'];

/** The error of a measurement that has no room, with what helps it in place of the settings of a job. */
export function noRoom({ parts }: LongscanError): LongscanError {
  return new LongscanError({ ...parts, fix: 'a smaller T in --shape, or more ranks' });
}

/** What was tried has given, or why it could not be: null where another rank could not. */
export type Tried<T> = { readonly result: T } | { readonly missing: string | null };

/**
 * Runs what needs no other rank, then asks them: what one rank cannot do none goes on with, as they would wait for it. Gives the
 * result, or on every rank that there is none.
 */
export async function tryOnAll<T>(group: Communicator, run: () => T | Promise<T>): Promise<Tried<T>> {
  const { stream } = group;
  const { compute } = stream.device;
  const tried = await tryAlone(run);
  const numMissing = fromArray(stream.device, ['missing' in tried ? 1 : 0], [1]);
  stream.wait(compute.record());
  group.allReduce(numMissing);
  compute.wait(stream.record());
  const [count] = await numMissing.readNumbers();
  numMissing.release();
  return count === 0 || 'missing' in tried ? tried : { missing: null };
}

async function tryAlone<T>(run: () => T | Promise<T>): Promise<Tried<T>> {
  try {
    return { result: await run() };
  } catch (error) {
    if (!(error instanceof LongscanError) || !reasons.includes(error.code)) throw error;
    return { missing: (error.code === 'E-MEMORY' ? noRoom(error) : error).message };
  }
}
