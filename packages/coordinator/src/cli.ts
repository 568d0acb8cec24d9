import { LongscanError } from '@longscan/worker/protocol';
import { commands } from './commands/index.js';
import { parseCommandLine } from './commands/parse.js';
import { Terminal } from './commands/terminal.js';

/**
 * The `longscan` program: parses, runs one command, and says what went wrong.
 * @returns the exit code (architecture: 0 done, 1 our own bug, 2 usage or configuration, …, 128+n signal)
 */
export async function main(argv: readonly string[]): Promise<number> {
  const terminal = new Terminal(process.stdout, process.stderr);
  // A closed pipe or terminal ends the printing, not the training behind it.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', ignoreClosedPipe);
  process.on('SIGHUP', () => {});
  try {
    const parsed = await parseCommandLine(argv, commands);
    if (parsed.kind === 'text') {
      terminal.print(parsed.text);
      return 0;
    }
    return await parsed.command.run(parsed.args, terminal);
  } catch (error) {
    return report(error, argv.includes('--json'), terminal);
  }
}

function report(error: unknown, isJson: boolean, terminal: Terminal): number {
  const isKnown = error instanceof LongscanError;
  const text = error instanceof Error ? error.message : String(error);
  const code = isKnown ? error.code : 'E-BUG';
  const exitCode = isKnown ? error.exitCode : 1;
  if (isJson) terminal.printJson({ event: 'error', code, message: text, exitCode });
  if (isKnown) terminal.note(text);
  else terminal.note(`error[E-BUG] longscan: ${error instanceof Error ? (error.stack ?? text) : text}`);
  return exitCode;
}

function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
}
