import type { LinkCost } from '@longscan/worker';
import type { LinkFit } from './fabric-file.js';

/** Time of one message of a size. */
export interface TimedMessage {
  readonly bytes: number;
  readonly seconds: number;
}

export interface FittedLink extends LinkFit {
  readonly link: LinkCost;
}

/** Parameters in which both models are linear, but for the larger one of two terms. */
interface Terms {
  readonly latencyS: number;
  readonly gapS: number;
  readonly secondsPerByte: number;
}

/**
 * The link that explains two kinds of measurements best, by least squares on relative errors: a lone message takes
 * `latencyS + bytes / bandwidth`, and each of many in a row `max(gapS, bytes / bandwidth)`. Of which side a burst is on there
 * are as many possibilities as sizes: each is a linear problem, and the best of all is the optimum. Null where no link with
 * parameters above zero explains them: too few sizes, or too much noise.
 */
export function fitLink(lone: readonly TimedMessage[], burst: readonly TimedMessage[]): FittedLink | null {
  const inOrder = [...burst].sort((a, b) => a.bytes - b.bytes);
  let best: { readonly terms: Terms; readonly error: number } | null = null;
  // At least the smallest bursts are bound by the gap: otherwise nothing tells it.
  for (let numByGap = 1; numByGap <= inOrder.length; numByGap++) {
    const terms = solve(lone, inOrder.slice(0, numByGap), inOrder.slice(numByGap));
    if (terms === null) continue;
    const error = residualsOf(terms, lone, inOrder).reduce((sum, one) => sum + one.relativeError ** 2, 0);
    if (best === null || error < best.error) best = { terms, error };
  }
  if (best === null) return null;
  const { latencyS, gapS, secondsPerByte } = best.terms;
  const residuals = residualsOf(best.terms, lone, inOrder);
  const errors = residuals.map(({ relativeError }) => Math.abs(relativeError));
  return {
    link: { latencyS, gapS, bandwidthBytesPerS: 1 / secondsPerByte },
    meanRelativeError: errors.reduce((sum, error) => sum + error, 0) / errors.length,
    worstRelativeError: Math.max(...errors),
    residuals,
  };
}

/** Least squares on relative errors where it is known what bounds each burst; null: no solution above zero. */
function solve(
  lone: readonly TimedMessage[],
  byGap: readonly TimedMessage[],
  byBandwidth: readonly TimedMessage[],
): Terms | null {
  // A message of t seconds asks for (latency + bytes · secondsPerByte) / t = 1: one row [1/t, bytes/t] of the system.
  const rows = [
    ...lone.map(({ bytes, seconds }) => [1 / seconds, bytes / seconds] as const),
    ...byBandwidth.map(({ bytes, seconds }) => [0, bytes / seconds] as const),
  ];
  const sum = (of: (row: readonly [number, number]) => number) =>
    rows.reduce((total, row) => total + of(row), 0);
  const [aa, ab, bb] = [sum(([a]) => a * a), sum(([a, b]) => a * b), sum(([, b]) => b * b)];
  const [a1, b1] = [sum(([a]) => a), sum(([, b]) => b)];
  const determinant = aa * bb - ab * ab;
  // Messages of one size alone tell two parameters apart by nothing but rounding.
  if (!(determinant > 1e-12 * aa * bb)) return null;
  const latencyS = (a1 * bb - b1 * ab) / determinant;
  const secondsPerByte = (b1 * aa - a1 * ab) / determinant;
  const inverse = byGap.map(({ seconds }) => 1 / seconds);
  const gapS = inverse.reduce((total, x) => total + x, 0) / inverse.reduce((total, x) => total + x * x, 0);
  if (!(latencyS > 0 && secondsPerByte > 0 && gapS > 0)) return null;
  return { latencyS, gapS, secondsPerByte };
}

function residualsOf(
  { latencyS, gapS, secondsPerByte }: Terms,
  lone: readonly TimedMessage[],
  burst: readonly TimedMessage[],
): LinkFit['residuals'] {
  const residual = (kind: 'latency' | 'gap', { bytes, seconds }: TimedMessage, fittedS: number) => ({
    ...{ kind, bytes, measuredS: seconds, fittedS },
    relativeError: fittedS / seconds - 1,
  });
  return [
    ...lone.map((one) => residual('latency', one, latencyS + one.bytes * secondsPerByte)),
    ...burst.map((one) => residual('gap', one, Math.max(gapS, one.bytes * secondsPerByte))),
  ];
}
