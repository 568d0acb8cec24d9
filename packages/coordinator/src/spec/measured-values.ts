import { z } from 'zod';

// Values of files of measurements (fabric and compute files). Each schema's message is what an error names as expected.

export const text = z.string('a string that is not empty').min(1, 'a string that is not empty');
export const positive = z.number('a finite number > 0').positive('a finite number > 0');
export const nonNegative = z.number('a finite number >= 0').min(0, 'a finite number >= 0');
export const finite = z.number('a finite number');
export const count = z.int('an integer >= 1').min(1, 'an integer >= 1');
export const table = 'a table of settings';

/** The version of a kind of file that this longscan writes, and the only one that it reads. */
export const onlyVersion = <V extends number>(version: V) =>
  z.literal(version, `${version}, which is all that this version of longscan reads`);

/** Where a file's numbers were measured. */
export const origin = {
  /** ISO 8601. */
  date: text,
  machine: z.strictObject({ host: text.nullable(), cpu: text, cores: count, device: text }, { error: table }),
  versions: z.record(z.string(), text, table),
};

/** A point that something was fitted to. */
export const fittedPoint = {
  measuredS: positive,
  fittedS: positive,
  /** fitted / measured - 1. */
  relativeError: finite,
};

/** Means and extremes of |relativeError|. */
export const fitErrors = { meanRelativeError: nonNegative, worstRelativeError: nonNegative };
