import { LongscanError } from '@longscan/worker/protocol';
import { closest, suggest } from '../spec/edit-distance.js';
import { usage } from '../usage.js';
import type { Command } from './command.js';

/** The parser's own complaint in our form: what is missing by its name, and the nearest word to one that is wrong. */
export function usageError(
  error: Error,
  argv: readonly string[],
  commands: readonly Command[],
): LongscanError {
  const words = argv.filter((word) => !word.startsWith('-'));
  const command =
    commands.find(({ name }) => name === words.slice(0, 2).join(' ')) ??
    commands.find(({ name }) => name === words[0]);
  const where = `longscan ${command?.name ?? groupOf(words[0], commands)}`.trim();
  const help = `${where} --help shows what it takes`;
  const said = (found: string, fix = help) => usage(where, found, null, fix);

  const unknown = /^Unknown arguments?: (.+)$/.exec(error.message)?.[1]?.split(', ')[0];
  if (unknown !== undefined) return unknownWord(unknown, { argv, command, where, help });
  if (words.length === 0) {
    // Without a command the parser looks at no flag.
    const known = [...ofAll, ...commands.flatMap(({ options }) => Object.keys(options))];
    const flags = argv.map((word) => word.replace(/^-+|=.*/gs, ''));
    const wrong = flags.find((flag) => flag !== '' && !known.includes(flag));
    if (wrong !== undefined) return unknownWord(wrong, { argv, command, where, help });
  }
  const numGiven = /^Not enough non-option arguments: got (\d+)/.exec(error.message)?.[1];
  if (numGiven !== undefined && command !== undefined) {
    const [missing] = Object.entries(command.positionals).slice(Number(numGiven));
    if (missing !== undefined) return said(`<${missing[0]}> is missing${inWords(missing[1].describe)}`);
  }
  const flags = /^Missing required arguments?: (.+)$/.exec(error.message)?.[1]?.split(', ');
  if (flags !== undefined) {
    const missing = flags.map((flag) => `--${flag} is missing${inWords(command?.options[flag]?.describe)}`);
    return said(missing.join('; '));
  }
  const noValue = /^Not enough arguments following: (.+)$/.exec(error.message)?.[1];
  if (noValue !== undefined) return said(`--${noValue} without a value`);
  const choice = /^Invalid values:\n +Argument: ([^,]+), Given: "(.*)", Choices: (.+)$/m.exec(error.message);
  if (choice !== null) {
    const [, flag = '', given = '', listed = ''] = choice;
    const choices = [...listed.matchAll(/"([^"]*)"/g)].map(([, each = '']) => each);
    return said(
      `--${flag} "${given}" where one of ${choices.join(', ')} is expected`,
      suggest(given, choices),
    );
  }
  return said(error.message.charAt(0).toLowerCase() + error.message.slice(1));
}

/** Flags beside a command's own. */
const ofAll: readonly string[] = ['json', 'help', 'version'];

const inWords = (describe: string | undefined): string => (describe === undefined ? '' : `: ${describe}`);

/** `bench` of `bench kernels`; nothing for what is no such word. */
function groupOf(word: string | undefined, commands: readonly Command[]): string {
  return word !== undefined && commands.some(({ name }) => name.startsWith(`${word} `)) ? word : '';
}

interface Given {
  readonly argv: readonly string[];
  readonly command: Command | undefined;
  readonly where: string;
  readonly help: string;
}

/** A flag or a further word that the command does not take. */
function unknownWord(word: string, { argv, command, where, help }: Given): LongscanError {
  const isFlag = argv.some((given) => given.replace(/=.*/s, '') === `--${word}` || given === `-${word}`);
  const near = isFlag ? closest(word, [...Object.keys(command?.options ?? {}), ...ofAll]) : null;
  return new LongscanError({
    code: 'E-CLI-UNKNOWN',
    where,
    found: isFlag ? `unknown flag ${word.length === 1 ? '-' : '--'}${word}` : `unexpected argument ${word}`,
    fix: near === null ? help : `did you mean --${near}?`,
    exitCode: 2,
  });
}
