import { LongscanError, reportBug } from '@longscan/worker/protocol';
import { commands } from './commands/index.js';
import { asksForJson, parseCommandLine } from './commands/parse.js';
import { Terminal } from './commands/terminal.js';

/**
 * The `longscan` program: parses, runs one command, and says what went wrong.
 * @returns the exit code (architecture: 0 done, 1 our own bug, 2 usage or configuration, …, 128+n signal)
 */
export async function main(argv: readonly string[]): Promise<number> {
  const terminal = new Terminal(process.stdout, process.stderr);
  // A closed terminal or an output that takes no more ends the printing, not the training behind it.
  process.on('SIGHUP', () => {});
  let lostOutput: string | null = null;
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (!readerIsGone(error)) lostOutput = error.message;
    });
  }
  const onExit = (exitCode: number) => {
    if (exitCode < 128) process.exitCode = report(endedEarly(exitCode), asksForJson(argv), terminal);
  };
  process.once('exit', onExit);
  try {
    const exitCode = await runCommandLine(argv, terminal);
    // A failed write is only told after the write.
    await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
    return exitCode > 0 || lostOutput === null ? exitCode : report(outputError(lostOutput), false, terminal);
  } finally {
    process.off('exit', onExit);
  }
}

/** The same without what belongs to a process of its own: for a caller whose standard streams are not the command's. */
export async function runCommandLine(argv: readonly string[], terminal: Terminal): Promise<number> {
  try {
    const parsed = await parseCommandLine(argv, commands);
    if (parsed.kind === 'command') return await parsed.command.run(parsed.args, terminal);
    terminal.print(parsed.text);
    return 0;
  } catch (error) {
    return report(error, asksForJson(argv), terminal);
  }
}

function report(thrown: unknown, isJson: boolean, terminal: Terminal): number {
  const error = isMissingModule(thrown) ? notBuilt(thrown) : thrown;
  const isKnown = error instanceof LongscanError;
  const text = error instanceof Error ? error.message : String(error);
  const code = isKnown ? error.code : 'E-BUG';
  const exitCode = isKnown ? error.exitCode : 1;
  if (isJson) terminal.printJson({ event: 'error', code, message: text, exitCode });
  if (isKnown) terminal.note(text);
  else terminal.note(`error[E-BUG] longscan: ${error instanceof Error ? (error.stack ?? text) : text}`);
  return exitCode;
}

const isMissingModule = (error: unknown): error is Error =>
  error instanceof Error &&
  'code' in error &&
  (error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'MODULE_NOT_FOUND');

/** As `bin/longscan.js` has it of the modules that every command loads. */
function notBuilt({ message }: Error): LongscanError {
  return new LongscanError({
    ...{ code: 'E-BUILD', where: 'longscan', found: message.split('\n')[0]!, exitCode: 3 },
    fix: 'build it with npm run setup',
  });
}

/** Exit codes from 128 on are those of signals, after which the process ends itself. */
function endedEarly(exitCode: number): LongscanError {
  return new LongscanError({
    code: 'E-ENDED',
    where: 'longscan',
    found: `the process ended before the command had, with exit code ${exitCode}`,
    expected: 'that nothing but the command ends it',
    fix: reportBug('this command and what it printed'),
    exitCode: 1,
  });
}

/** The reader has seen what it wanted (`| head`), or the terminal was closed. */
function readerIsGone({ code }: NodeJS.ErrnoException): boolean {
  return code === 'EPIPE' || code === 'EIO';
}

function outputError(found: string): LongscanError {
  return new LongscanError({
    code: 'E-DISK',
    where: 'standard output',
    found,
    expected: 'an output that takes all that is written',
    fix: 'free some space where it goes, or send it elsewhere; what the command did besides printing is done',
    exitCode: 3,
  });
}
