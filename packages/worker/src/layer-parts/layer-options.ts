import { LongscanError } from '@longscan/kernels';

/** Numeric options of a layer, by name. */
type Options = Readonly<Record<string, number>>;

/** @throws LongscanError E-CFG-RANGE unless every option is a finite number above zero */
export function expectPositive(layer: string, options: Options): void {
  expectOptions(layer, options, 'a number > 0', (value) => value > 0 && Number.isFinite(value));
}

/** @throws LongscanError E-CFG-RANGE unless every option is above zero and at most `limit` */
export function expectUpTo(layer: string, limit: number, options: Options): void {
  expectOptions(layer, options, `a number > 0 and <= ${limit}`, (value) => value > 0 && value <= limit);
}

/** @throws LongscanError E-CFG-RANGE unless every option is a whole number of at least 1 */
export function expectCount(layer: string, options: Options): void {
  expectOptions(layer, options, 'a whole number >= 1', (value) => value >= 1 && Number.isInteger(value));
}

/** @throws LongscanError E-CFG-RANGE unless every option is a whole number of at least 0 */
export function expectWhole(layer: string, options: Options): void {
  expectOptions(layer, options, 'a whole number >= 0', (value) => value >= 0 && Number.isInteger(value));
}

function expectOptions(
  layer: string,
  options: Options,
  expected: string,
  fits: (value: number) => boolean,
): void {
  for (const [option, value] of Object.entries(options)) {
    if (fits(value)) continue;
    const where = `layer ${layer}, ${option}`;
    throw new LongscanError({ code: 'E-CFG-RANGE', where, found: `${value}`, expected, exitCode: 2 });
  }
}
