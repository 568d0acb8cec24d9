import { LongscanError } from '@longscan/worker/protocol';
import { JobErrors } from '../spec/problems.js';
import { type Check, checkOf } from './check.js';

/** Longest that anything which can be waited for may take; facts of the native library end well before. */
const usualDeadlineMs = 90_000;

/**
 * Runs checks that must not keep others from theirs: what is thrown becomes a failed check of this name (one for each problem of
 * a job), and so does a wait that does not end, whose signal is aborted then.
 */
export async function guarded(
  name: string,
  body: (signal: AbortSignal) => readonly Check[] | Promise<readonly Check[]>,
  deadlineMs = usualDeadlineMs,
): Promise<readonly Check[]> {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<readonly Check[]>((resolve) => {
    const found = `no answer within ${deadlineMs / 1000} s`;
    timer = setTimeout(() => {
      resolve([{ name, status: 'failed', found }]);
      controller.abort();
    }, deadlineMs);
  });
  try {
    return await Promise.race([(async () => body(controller.signal))(), late]);
  } catch (error) {
    return failuresOf(name, error);
  } finally {
    clearTimeout(timer);
  }
}

/** What an error says, as failed checks. */
export function failuresOf(name: string, error: unknown): readonly Check[] {
  if (error instanceof JobErrors) return error.problems.flatMap((problem) => failuresOf(name, problem));
  if (!(error instanceof LongscanError)) throw error;
  const { where, found } = error.parts;
  const isData = error.code.startsWith('E-DATA');
  return [checkOf(isData ? 'data' : name, 'failed', { ...error.parts, found: `${where}: ${found}` })];
}
