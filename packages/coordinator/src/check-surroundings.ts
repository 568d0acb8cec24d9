import { type JobSpec, LongscanError } from '@longscan/worker/protocol';
import { timeoutsOf } from './control/timeouts-of.js';
import { askFact } from './doctor/ask-fact.js';
import { TemporaryFolder } from './run-folder/on-disk.js';

/**
 * Whether there is what every launch needs of this machine, whatever its job: a place for the ranks' keys, and the native library,
 * which a process of its own opens. Else a run would be on disk that has never begun.
 *
 * @throws LongscanError E-DISK (TMPDIR), E-ADDON, E-DIED or E-DEADLINE (the library), all exit code 3
 */
export async function checkSurroundings(jobSpec: JobSpec): Promise<void> {
  new TemporaryFolder('longscan-try-').remove();
  const addon = await askFact('addon', [], { deadlineMs: timeoutsOf(jobSpec).rendezvousMs });
  if (addon.ok) return;
  const { code, found, expected, fix = 'build it with `npm run setup`' } = addon;
  throw new LongscanError({
    ...{ code, where: 'native addon', found, fix, exitCode: 3 },
    ...(expected !== undefined && { expected }),
  });
}
