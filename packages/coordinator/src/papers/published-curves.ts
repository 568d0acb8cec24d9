import type { Mode } from '../scaling/modes.js';
import type { PublishedCurve } from '../simulate/published-curve.js';
import { paperCurves } from './paper-points.js';

/** Of fewer nothing is seen but that the first is the first. */
const fewestPoints = 2;

/**
 * What papers have measured in a mode, within a range of numbers of ranks. Efficiency is all that other jobs and machines have in
 * common with a curve; tokens/s are not.
 */
export function publishedCurves(mode: Mode, fewest: number, most: number): PublishedCurve[] {
  return paperCurves
    .filter((table) => table.mode === mode)
    .flatMap(({ rows, short }) =>
      rows.flatMap(({ name, strategy, points }): PublishedCurve[] => {
        const within = points.filter(({ numRanks }) => numRanks >= fewest && numRanks <= most);
        const [first] = within;
        if (strategy === null || first === undefined || within.length < fewestPoints) return [];
        return [
          {
            ...{ name, strategy, source: short, base: first.numRanks },
            points: within.map(({ numRanks, value }) => ({ numRanks, efficiency: value / first.value })),
          },
        ];
      }),
    );
}
