import type { Writable } from 'node:stream';

/** Where a command writes. Results go to stdout, everything said about them to stderr. */
export class Terminal {
  readonly stdout: Writable;
  readonly stderr: Writable;

  constructor(stdout: Writable, stderr: Writable) {
    this.stdout = stdout;
    this.stderr = stderr;
  }

  /** A result for people. */
  print(text: string): void {
    this.stdout.write(`${text}\n`);
  }

  /** A result for programs: one JSON value on one line. */
  printJson(value: unknown): void {
    this.stdout.write(`${JSON.stringify(value)}\n`);
  }

  /** A remark or an error. */
  note(text: string): void {
    this.stderr.write(`${text}\n`);
  }
}
