import { usualTraceWindow } from '@longscan/worker/protocol';
import type { PositionalOptions } from 'yargs';

/** Flags that several commands share. `nargs: 1` keeps a flag from swallowing the words after its value. */

export const setOption = {
  type: 'string',
  array: true,
  nargs: 1,
  describe: 'set a key of the job, as section.key=value; may be repeated',
  default: [] as string[],
} as const;

export const launcherOption = {
  type: 'string',
  nargs: 1,
  describe: 'what starts the ranks, instead of launch.launcher of the job',
} as const;

export const allowCodeChangeOption = {
  type: 'boolean',
  default: false,
  describe: 'resume although a layer file has changed since',
} as const;

export const traceOption = {
  type: 'string',
  describe: `write a timeline of these steps on every rank, --trace=FIRST-LAST; alone ${usualTraceWindow}`,
} as const;

/** `--trace` is the key `job.trace`. */
export const traceOverrides = (trace: string | undefined): readonly string[] =>
  trace === undefined ? [] : [`job.trace=${trace}`];

export const jobPositional = {
  type: 'string',
  demandOption: true,
  describe: 'job file (.toml, .yaml or .json)',
} as const satisfies PositionalOptions;

export const runPositional = {
  type: 'string',
  demandOption: true,
  describe: 'run folder, name of a run, or latest',
} as const satisfies PositionalOptions;

/** Flag with the path of a file or folder. An empty one, as of a shell's unset variable, is none. */
export function place(flag: string, describe: string) {
  return { ...placeAfterEquals(flag, describe), nargs: 1 } as const;
}

/** The same of a flag that means something alone too, and takes a path after `=`. */
export function placeAfterEquals(flag: string, describe: string) {
  const coerce = (given: string | readonly string[]): string => {
    if (typeof given !== 'string') throw new Error(`${flag} given more than once`);
    if (given === '') throw new Error(`${flag} "" where a path is expected`);
    return given;
  };
  return { type: 'string', describe, coerce } as const;
}

/** Flag with a whole number from 0 to `max`; undefined when it is not given and has no default. */
export function wholeNumber(flag: string, describe: string, max = Number.MAX_SAFE_INTEGER) {
  const expected = `a whole number >= 0${max === Number.MAX_SAFE_INTEGER ? '' : ` and <= ${max}`}`;
  const isValid = (value: number) => Number.isInteger(value) && value >= 0 && value <= max;
  return numberOption(flag, describe, expected, isValid);
}

/** Flag with a finite number from 0 upwards. */
export function nonNegativeNumber(flag: string, describe: string) {
  return numberOption(flag, describe, 'a number >= 0', (value) => Number.isFinite(value) && value >= 0);
}

/** Flag with whole numbers from 1 upwards, `1,2,4`, each once; they come in rising order. Everything wrong is told together. */
export function sizeList(flag: string, describe: string) {
  const read = (word: string) =>
    /^[1-9]\d*$/.test(word) && Number.isSafeInteger(Number(word)) ? Number(word) : null;
  return numberList(flag, describe, 'no whole number >= 1', read);
}

/** Flag with such a list of what `read` takes; a word for which that gives null is `wrong`. */
export function numberList(
  flag: string,
  describe: string,
  wrong: string,
  read: (word: string) => number | null,
) {
  const coerce = (given: string | readonly string[]): number[] => {
    if (typeof given !== 'string') throw new Error(`${flag} given more than once`);
    const words = given.split(',').map((word) => word.trim());
    const numbers = words.flatMap((word) => read(word) ?? []);
    const repeated = new Set(numbers.filter((number, i) => numbers.indexOf(number) !== i));
    const problems = [
      ...words.filter((word) => read(word) === null).map((word) => `${JSON.stringify(word)} is ${wrong}`),
      ...[...repeated].map((number) => `${number} is there more than once`),
    ];
    if (problems.length > 0) throw new Error(`${flag} ${JSON.stringify(given)}: ${problems.join('; ')}`);
    return numbers.sort((a, b) => a - b);
  };
  return { type: 'string', nargs: 1, describe, coerce } as const;
}

/** Read from the text by us: the parser's own numbers turn what is none into NaN. */
function numberOption(flag: string, describe: string, expected: string, isValid: (value: number) => boolean) {
  const coerce = (given: string | readonly string[]): number => {
    if (typeof given !== 'string') throw new Error(`${flag} given more than once`);
    const value = given.trim() === '' ? Number.NaN : Number(given);
    if (isValid(value)) return value;
    throw new Error(`${flag} ${JSON.stringify(given)} where ${expected} is expected`);
  };
  return { type: 'string', nargs: 1, describe, coerce } as const;
}
