import { LongscanError } from '@longscan/worker/protocol';
import { askFact } from './doctor/ask-fact.js';
import { TemporaryFolder } from './run-folder/on-disk.js';
import { stoppedError } from './stopped-error.js';

/** Of its own: a job's deadlines are for its ranks. A library that is read from a slow disk takes some seconds. */
const deadlineMs = 60_000;

/** By error code, where the library's own error says nothing of it. */
const fixes: Readonly<Record<string, string>> = {
  'E-ADDON': 'build it with `npm run setup`',
  'E-DEADLINE': 'its disk may be slow: try again, or name a copy on another disk in LONGSCAN_ADDON',
  'E-DIED':
    'something may have killed that process, as the system does where memory is short: free some and try again',
};

/**
 * Plans while `checkSurroundings` looks for what a launch needs. That is told in front of what the planning finds, whichever comes
 * first. It ends a planning that runs code of the user's, which is in a thread. Any other is this thread's own work, which hears of
 * nothing before it is done: 0.6 s of `examples/moby-dick`, 3 s where settings that fit are looked for. A thread for it would take
 * every launch about as long to start, and planning after the check as long as that takes (0.7 s), to tell this one sooner.
 *
 * @throws LongscanError E-RUN-KILLED when `signal` ends both, what `checkSurroundings` throws, and then what `plan` does
 */
export async function besideSurroundings<T>(
  name: string,
  signal: AbortSignal | undefined,
  plan: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const refused = new AbortController();
  const checked = checkSurroundings(name, signal).catch((error: unknown) => {
    refused.abort();
    throw error;
  });
  const both = signal === undefined ? refused.signal : AbortSignal.any([signal, refused.signal]);
  const [surroundings, planned] = await Promise.allSettled([checked, plan(both)]);
  if (signal?.aborted) throw stoppedError(name);
  if (surroundings.status === 'rejected') throw surroundings.reason;
  if (planned.status === 'rejected') throw planned.reason;
  return planned.value;
}

/**
 * Whether there is what every launch needs of this machine, whatever its job: a place for the ranks' keys, and the native library,
 * which a process of its own opens. Else a run would be on disk that has never begun.
 *
 * @param name Of the job, for E-RUN-KILLED.
 * @throws LongscanError E-DISK (TMPDIR), E-ADDON, E-DIED or E-DEADLINE (the library), all exit code 3; E-RUN-KILLED when `signal`
 * ends it
 */
export async function checkSurroundings(name: string, signal: AbortSignal | undefined): Promise<void> {
  new TemporaryFolder('longscan-try-').remove();
  const addon = await askFact('addon', [], { deadlineMs, signal });
  // First: Ctrl-C reaches that process too, whose death is then no news.
  if (signal?.aborted) throw stoppedError(name);
  if (addon.ok) return;
  const { code, found, expected, fix = fixes[code] } = addon;
  throw new LongscanError({
    ...{ code, where: 'native addon', found, exitCode: 3 },
    ...(expected !== undefined && { expected }),
    ...(fix !== undefined && { fix }),
  });
}
