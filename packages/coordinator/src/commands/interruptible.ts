import { LongscanError } from '@longscan/worker/protocol';
import { signalExitCode } from './signal-exit-code.js';

const killed = 'E-RUN-KILLED';

/**
 * Runs a task that the first SIGINT or SIGTERM ends; ranks and temporary folders are cleared away by then.
 * @throws LongscanError of the task; one that was ended has the signal's exit code
 */
export async function interruptible<T>(body: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let first: NodeJS.Signals | null = null;
  const abort = (signal: NodeJS.Signals) => {
    first ??= signal;
    controller.abort();
  };
  process.on('SIGINT', abort);
  process.on('SIGTERM', abort);
  try {
    return await body(controller.signal);
  } catch (error) {
    if (first === null || !(error instanceof LongscanError) || error.code !== killed) throw error;
    throw new LongscanError({ ...error.parts, exitCode: signalExitCode(first) });
  } finally {
    process.off('SIGINT', abort);
    process.off('SIGTERM', abort);
  }
}
