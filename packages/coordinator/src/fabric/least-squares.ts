import { solveDefinite } from '../solve-definite.js';

/** Pivots of a system of unit diagonal below this are rounding. */
const smallestPivot = 1e-12;

/**
 * The x that makes the sum of (row · x - 1)² smallest: each row is an observation divided by what was observed, so that
 * relative errors count. Null where the rows do not tell all of x.
 */
export function leastSquares(rows: readonly (readonly number[])[]): number[] | null {
  const n = rows[0]?.length ?? 0;
  const sum = (of: (row: readonly number[]) => number) => rows.reduce((total, row) => total + of(row), 0);
  // Normal equations in units that give them a diagonal of ones: seconds and bytes are far apart.
  const scale = Array.from({ length: n }, (_, i) => Math.sqrt(sum((row) => row[i]! ** 2)));
  if (scale.some((unit) => !(unit > 0))) return null;
  const system = scale.map((unit, i) => [
    ...scale.map((other, j) => sum((row) => row[i]! * row[j]!) / unit / other),
    sum((row) => row[i]!) / unit,
  ]);
  const x = solveDefinite(system, smallestPivot);
  return x?.map((value, i) => value / scale[i]!) ?? null;
}
