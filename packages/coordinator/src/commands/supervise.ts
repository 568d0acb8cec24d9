import { LongscanError } from '@longscan/worker/protocol';
import type { Run } from '../run.js';
import type { RunEvent } from '../run-folder/events.js';
import { signalExitCode } from './signal-exit-code.js';

/** What a training command does with a run besides waiting for it. */
export interface RunView {
  /** Called for every event in order, the error that ends a run included; the next one waits for it. */
  show(event: RunEvent, run: Run): Promise<void>;
  /** A remark to the person at the terminal. */
  note(text: string): void;
}

const stopSignals = ['SIGINT', 'SIGTERM'] as const;

/**
 * Starts a run, shows its events and sees it to its end. The first SIGINT or SIGTERM saves and stops, the second
 * ends the ranks at once, the third this process (whose ranks then end by themselves).
 *
 * @param start Is given a signal whose abort means: save and stop.
 * @returns the exit code: 0, the error's, or 128 + n when a signal ended the run early
 */
export async function supervise(
  start: (signal: AbortSignal) => Promise<Run>,
  view: RunView,
): Promise<number> {
  const controller = new AbortController();
  let run: Run | null = null;
  const signals: NodeJS.Signals[] = [];
  const onSignal = (signal: NodeJS.Signals) => {
    signals.push(signal);
    if (signals.length === 1) {
      const what =
        run === null
          ? 'stopping, no run has begun; once more ends this command at once'
          : 'saving and stopping after this step; once more ends the run at once';
      view.note(`${signal}: ${what}`);
      controller.abort();
    } else if (signals.length === 2 && run !== null) {
      view.note(`${signal}: ending the ranks now; nothing more is saved`);
      void run.kill();
    } else process.exit(signalExitCode(signal));
  };
  for (const signal of stopSignals) process.on(signal, onSignal);
  try {
    run = await start(controller.signal);
    const [outcome] = await Promise.all([outcomeOf(run), showAll(run, view)]);
    if (outcome instanceof LongscanError) {
      return signals[1] === undefined ? outcome.exitCode : signalExitCode(signals[1]);
    }
    const isFinished = outcome >= run.plan.jobSpec.job.steps;
    return isFinished || signals[0] === undefined ? 0 : signalExitCode(signals[0]);
  } catch (error) {
    // Stopped before there was a run: the signal is the reason, whatever the words.
    if (run !== null || signals[0] === undefined || !(error instanceof LongscanError)) throw error;
    view.note(error.message);
    return signalExitCode(signals[0]);
  } finally {
    for (const signal of stopSignals) process.off(signal, onSignal);
  }
}

/** The last step, or the error that ended the run. */
async function outcomeOf(run: Run): Promise<number | LongscanError> {
  try {
    return (await run.done).step;
  } catch (error) {
    if (error instanceof LongscanError) return error;
    throw error;
  }
}

async function showAll(run: Run, view: RunView): Promise<void> {
  for await (const event of run.events()) await view.show(event, run);
}
