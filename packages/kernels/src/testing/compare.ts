import { isDeepStrictEqual } from 'node:util';
import { isRehearsal } from './rehearsal.js';
import { absoluteFloor } from './tolerances.js';

/** Root mean square of `found - expected`, relative to that of `expected`. NaN anywhere gives NaN. */
export function relativeRms(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  const { error, base } = rmsError(found, expected);
  return error / (base + absoluteFloor);
}

function rmsError(found: ArrayLike<number>, expected: ArrayLike<number>): { error: number; base: number } {
  let error = 0;
  let base = 0;
  for (let i = 0; i < expected.length; i++) {
    error += (found[i]! - expected[i]!) ** 2;
    base += expected[i]! ** 2;
  }
  const n = Math.max(1, expected.length);
  return { error: Math.sqrt(error / n), base: Math.sqrt(base / n) };
}

/**
 * Throws, naming the place, the measure and the worst element, unless `relativeRms <= tolerance`. NaN fails.
 * `noise`: an error (root mean square, absolute) that `expected` itself has.
 */
export function expectClose(
  name: string,
  found: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  noise = 0,
): void {
  if (found.length !== expected.length) {
    throw new Error(`${name}: ${found.length} values, expected ${expected.length}`);
  }
  if (isRehearsal) return;
  const { error: absolute, base } = rmsError(found, expected);
  const scale = base + absoluteFloor;
  const error = absolute / scale;
  if (error <= tolerance + noise / scale) return;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    if (!(Math.abs(found[i]! - expected[i]!) <= Math.abs(found[worst]! - expected[worst]!))) worst = i;
  }
  throw new Error(
    `${name}: relative RMS error ${error.toExponential(2)}, allowed ${tolerance}; ` +
      `worst at ${worst} of ${expected.length}: ${found[worst]}, expected ${expected[worst]}`,
  );
}

/** Throws unless two results are the same bits: at once, where a difference of thousands of lines would take minutes. */
export function expectSameBits(name: string, found: unknown, expected: unknown): void {
  if (!isRehearsal && !isDeepStrictEqual(found, expected)) throw new Error(`${name}: the bits differ`);
}
