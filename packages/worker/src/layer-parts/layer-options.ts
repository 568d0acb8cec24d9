import { LongscanError } from '@longscan/kernels';

/** What a layer has several of, it has no more of than this. */
export const largestCount = 2 ** 20;
/** Tokens are counted in 32 bits. */
const largestNumTokens = 2 ** 31 - 1;

/** Numeric options of a layer, by name. */
type Options = Readonly<Record<string, number>>;

/** @throws LongscanError E-CFG-RANGE unless every option is a finite number above zero */
export function expectPositive(layer: string, options: Options): void {
  const fits = (value: number) => value > 0 && Number.isFinite(value);
  expectOptions(layer, options, fits, () => 'a number > 0');
}

/** @throws LongscanError E-CFG-RANGE unless every option is above zero and at most `limit` */
export function expectUpTo(layer: string, limit: number, options: Options): void {
  const fits = (value: number) => value > 0 && value <= limit;
  expectOptions(layer, options, fits, () => `a number > 0 and <= ${limit}`);
}

/** @throws LongscanError E-CFG-RANGE unless every option is a whole number from 1 to `largestCount` */
export function expectCount(layer: string, options: Options): void {
  expectWholeBetween(layer, 1, largestCount, options);
}

/** @throws LongscanError E-CFG-RANGE unless every option is a whole number of tokens, 0 among them */
export function expectWhole(layer: string, options: Options): void {
  expectWholeBetween(layer, 0, largestNumTokens, options);
}

function expectWholeBetween(layer: string, least: number, largest: number, options: Options): void {
  const fits = (value: number) => Number.isInteger(value) && value >= least && value <= largest;
  const bound = (value: number) => (value > largest ? `<= ${largest}` : `>= ${least}`);
  expectOptions(layer, options, fits, (value) => `a whole number ${bound(value)}`);
}

function expectOptions(
  layer: string,
  options: Options,
  fits: (value: number) => boolean,
  expectedOf: (value: number) => string,
): void {
  for (const [option, value] of Object.entries(options)) {
    if (fits(value)) continue;
    throw new LongscanError({
      code: 'E-CFG-RANGE',
      where: `layer ${layer}, ${option}`,
      found: `${value}`,
      expected: expectedOf(value),
      exitCode: 2,
      fix: `set ${option} to such a number`,
    });
  }
}
