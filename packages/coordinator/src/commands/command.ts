import type { InferredOptionTypes, Options, PositionalOptions } from 'yargs';
import type { Terminal } from './terminal.js';

export type OptionTable = Readonly<Record<string, Options>>;
export type PositionalTable = Readonly<Record<string, PositionalOptions>>;

/** What `run` gets: positionals and options by name, and `json`, which every command has. */
export type CommandArgs<P extends PositionalTable, O extends OptionTable> = InferredOptionTypes<P> &
  InferredOptionTypes<O> & { readonly json: boolean };

/** One command of the CLI, as data: the parser, the help text and the test of the contract all read it. */
export interface Command<P extends PositionalTable = PositionalTable, O extends OptionTable = OptionTable> {
  /** One or two words: `train`, `ckpt ls`. */
  readonly name: string;
  readonly summary: string;
  /** In the order they are written. */
  readonly positionals: P;
  readonly options: O;
  /** A command line that works, without `longscan` in front. */
  readonly example: string;
  /** Gives the exit code; errors are thrown. */
  run(args: CommandArgs<P, O>, terminal: Terminal): Promise<number>;
}

/** Keeps the types of a command's arguments while it is listed with all the others. */
export function defineCommand<const P extends PositionalTable, const O extends OptionTable>(
  command: Command<P, O>,
): Command {
  return command as unknown as Command;
}
