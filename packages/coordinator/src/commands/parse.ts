import { LongscanError, usualTraceWindow } from '@longscan/worker/protocol';
import yargs, { type Argv } from 'yargs';
import { closest } from '../spec/edit-distance.js';
import { usage } from '../usage.js';
import { packageVersion } from '../version.js';
import type { Command, CommandArgs, OptionTable, PositionalTable } from './command.js';
import { usageError } from './usage-error.js';

/** A command with its arguments, or a text to print (help, version). */
export type ParsedCommandLine =
  | {
      readonly kind: 'command';
      readonly command: Command;
      readonly args: CommandArgs<PositionalTable, OptionTable>;
    }
  | { readonly kind: 'text'; readonly text: string };

/**
 * Parses a command line against the table of commands.
 * @throws LongscanError E-CLI-COMMAND, E-CLI-UNKNOWN, E-CLI-USAGE (exit code 2), with a suggestion where one is near
 */
export async function parseCommandLine(
  argv: readonly string[],
  commands: readonly Command[],
): Promise<ParsedCommandLine> {
  let parsed: ParsedCommandLine | null = null;
  const parser = buildParser(commands, (command, args) => {
    checkBare(command, argv);
    parsed = { kind: 'command', command, args: checkArgs(command, args) };
  });
  checkCommandWords(argv, commands);
  let output = '';
  try {
    await parser.parseAsync(argv.map(fillBareFlag), {}, (_error, _args, text) => {
      output = text;
    });
  } catch (error) {
    throw error instanceof LongscanError ? error : usageError(error as Error, argv, commands);
  }
  return parsed ?? { kind: 'text', text: output };
}

/** Flags that take a value only after `=`, so that `--resume job.toml` does not lose its job; what they stand for alone. */
const bareFlags: Readonly<Record<string, string>> = { '--resume': 'auto', '--trace': usualTraceWindow };

function fillBareFlag(word: string): string {
  const value = bareFlags[word];
  return value === undefined ? word : `${word}=${value}`;
}

type Choose = (command: Command, args: Record<string, unknown>) => void;

function buildParser(commands: readonly Command[], choose: Choose): Argv {
  const parser = yargs([])
    .scriptName('longscan')
    .locale('en')
    .usage('$0 <command>\n\nTrains linear-recurrent language models on sequences cut over several processes.')
    .version(packageVersion())
    .parserConfiguration({
      'greedy-arrays': false,
      'dot-notation': false,
      'boolean-negation': false,
      'parse-positional-numbers': false,
    })
    .strict()
    .demandCommand(1, 'no command given')
    .recommendCommands()
    .wrap(110)
    .exitProcess(false)
    .fail(false)
    .help();
  for (const [word, group] of groupByWord(commands)) {
    const [only] = group;
    if (group.length === 1 && only !== undefined && only.name === word)
      addCommand(parser, word, only, choose);
    else addGroup(parser, word, group, choose);
  }
  return parser;
}

/** `ckpt` with `ls` and `verify`; a command that has the group's own name is what the bare word runs. */
function addGroup(parser: Argv, word: string, group: readonly Command[], choose: Choose): void {
  const own = group.find((command) => command.name === word);
  const rest = group.filter((command) => command !== own);
  const words = rest.map((command) => command.name.slice(word.length + 1));
  const parts = rest.map((command, index) => `${words[index]}: ${command.summary}`);
  parser.command(word, [...(own ? [own.summary] : []), ...parts].join('; '), (inner) => {
    if (own) addCommand(inner, '$0', own, choose);
    for (const command of rest) addCommand(inner, command.name.slice(word.length + 1), command, choose);
    return own ? inner : inner.demandCommand(1, `${word} needs one of ${words.join(', ')}`);
  });
}

function addCommand(parser: Argv, word: string, command: Command, choose: Choose): void {
  const positionals = Object.entries(command.positionals);
  const syntax = [
    word,
    ...positionals.map(([name, { demandOption }]) => (demandOption ? `<${name}>` : `[${name}]`)),
  ];
  parser.command(
    syntax.join(' '),
    command.summary,
    (inner) => {
      for (const [name, options] of positionals) inner.positional(name, options);
      return inner
        .options(command.options)
        .option('json', { type: 'boolean', default: false, describe: 'print JSON for programs' })
        .example(`longscan ${command.example}`, '');
    },
    (args) => choose(command, args),
  );
}

function groupByWord(commands: readonly Command[]): Map<string, Command[]> {
  const groups = new Map<string, Command[]>();
  for (const command of commands) {
    const [word = ''] = command.name.split(' ');
    groups.set(word, [...(groups.get(word) ?? []), command]);
  }
  return groups;
}

/** Commands of the words in front of the first flag; yargs would call a misspelt one an unknown argument. */
function checkCommandWords(argv: readonly string[], commands: readonly Command[]): void {
  const [first, second] = argv;
  if (first === undefined || first.startsWith('-')) return;
  const groups = groupByWord(commands);
  const group = groups.get(first);
  if (group === undefined) throw unknownCommand(first, [...groups.keys()]);
  const words = group
    .filter((command) => command.name !== first)
    .map((command) => command.name.split(' ')[1] ?? '');
  if (words.length > 0 && second !== undefined && !second.startsWith('-') && !words.includes(second)) {
    throw unknownCommand(
      `${first} ${second}`,
      words.map((word) => `${first} ${word}`),
    );
  }
}

function unknownCommand(word: string, known: readonly string[]): LongscanError {
  const near = closest(word, known);
  return new LongscanError({
    code: 'E-CLI-COMMAND',
    where: `longscan ${word}`,
    found: 'no such command',
    expected: `one of ${known.join(', ')}`,
    fix: near === null ? 'longscan --help lists what each does' : `did you mean longscan ${near}?`,
    exitCode: 2,
  });
}

/** A flag that is on or off: any value but `true` would be read as off. */
function checkBare(command: Command, argv: readonly string[]): void {
  for (const word of argv) {
    if (word === '--') return;
    const [, name = '', value] = /^--([^=]+)=(.*)$/s.exec(word) ?? [];
    const isBare = name === 'json' || command.options[name]?.type === 'boolean';
    if (!isBare || value === 'true' || value === 'false') continue;
    const found = `--${name} with the value ${JSON.stringify(value)}`;
    throw usage(`longscan ${command.name}`, found, 'the flag alone', `--${name}, or leave it out`);
  }
}

/** Whether programs are to read what is printed, also where a command line is refused before it is parsed. */
export function asksForJson(argv: readonly string[]): boolean {
  return argv.includes('--json') || argv.includes('--json=true');
}

/**
 * What yargs lets pass: of a flag given twice it makes a list, which a flag with a form of its own has refused by now; a path
 * that is empty, as of a shell's unset variable.
 */
function checkArgs(
  command: Command,
  args: Record<string, unknown>,
): CommandArgs<PositionalTable, OptionTable> {
  const where = `longscan ${command.name}`;
  for (const name of Object.keys(command.positionals)) {
    if (args[name] !== '') continue;
    const fix = 'name one; if it comes from a variable of the shell, that is not set';
    throw usage(where, `<${name}> is empty`, command.positionals[name]?.describe ?? null, fix);
  }
  for (const [name, option] of Object.entries(command.options)) {
    if (!Array.isArray(args[name]) || option.array === true || option.coerce !== undefined) continue;
    throw usage(where, `--${name} given more than once`, null, 'give it once');
  }
  return args as CommandArgs<PositionalTable, OptionTable>;
}
