import { consoleOptions, TrainingConsole } from '../metrics/console.js';
import type { RunEvent } from '../run-folder/events.js';
import { PacedOutput } from './paced-output.js';
import type { RunView } from './supervise.js';

/** How a training command shows its run: as JSON for programs, or as text for people. */
export function trainingView(isJson: boolean): RunView {
  return isJson ? jsonView() : textView();
}

/** One JSON value per event on stdout; remarks and the error that ends a run on stderr. */
function jsonView(): RunView {
  const output = new PacedOutput(process.stdout.fd);
  return {
    async show(event) {
      await output.write(`${JSON.stringify(event)}\n`);
      if (event.event === 'error') noteOnStderr(event.message);
    },
    note: noteOnStderr,
  };
}

function noteOnStderr(text: string): void {
  process.stderr.write(`${text}\n`);
}

function textView(): RunView {
  const stdout = new PacedOutput(process.stdout.fd);
  const stderr = new PacedOutput(process.stderr.fd);
  let screen: TrainingConsole | null = null;
  // The live block is drawn and erased by counting its lines, so two writers must not mix.
  let last: Promise<void> = Promise.resolve();
  const write = (output: PacedOutput, text: string) => {
    last = last.then(() => output.write(text));
    return last;
  };
  return {
    show(event: RunEvent, run) {
      screen ??= new TrainingConsole(
        consoleOptions(process.stdout, process.env, run.plan.jobSpec.job.logEvery),
      );
      return write(event.event === 'error' ? stderr : stdout, screen.show(event));
    },
    note(text) {
      if (screen === null) void write(stderr, `${text}\n`);
      else void write(process.stdout.isTTY ? stdout : stderr, screen.note(text));
    },
  };
}
