import { PacedOutput } from './paced-output.js';
import type { RunView } from './supervise.js';

/** Events for programs: one JSON value per line on stdout, remarks on stderr. */
export function jsonView(): RunView {
  const output = new PacedOutput(process.stdout.fd);
  return {
    show: (event) => output.write(`${JSON.stringify(event)}\n`),
    note: (text) => process.stderr.write(`${text}\n`),
  };
}
