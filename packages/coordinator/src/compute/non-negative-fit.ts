import { solveDefinite } from '../solve-definite.js';

/**
 * The x >= 0 that minimises |A x - b|², for few unknowns: the best of the solutions that leave some of them out, which is
 * exact (the one that is sought is an unconstrained solution for those of its numbers that are not 0). `rows`: those of A.
 */
export function nonNegativeFit(rows: readonly (readonly number[])[], b: readonly number[]): number[] {
  const numUnknowns = rows[0]?.length ?? 0;
  // Columns of one length: they may be counts, bytes and FLOPs.
  const lengths = Array.from({ length: numUnknowns }, (_, i) => Math.hypot(...rows.map((row) => row[i]!)));
  let best = new Array<number>(numUnknowns).fill(0);
  let leastError = squaredError(rows, b, best);
  for (let subset = 1; subset < 2 ** numUnknowns; subset++) {
    const used = lengths.flatMap((length, i) => (subset & (1 << i) && length > 0 ? [i] : []));
    const scaled = rows.map((row) => used.map((i) => row[i]! / lengths[i]!));
    const solution = leastSquares(scaled, b);
    if (solution === null || solution.some((value) => value < 0)) continue;
    const x = new Array<number>(numUnknowns).fill(0);
    used.forEach((i, at) => {
      x[i] = solution[at]! / lengths[i]!;
    });
    const error = squaredError(rows, b, x);
    if (error < leastError) [best, leastError] = [x, error];
  }
  return best;
}

function squaredError(
  rows: readonly (readonly number[])[],
  b: readonly number[],
  x: readonly number[],
): number {
  return rows.reduce((sum, row, i) => {
    const found = row.reduce((total, value, j) => total + value * x[j]!, 0);
    return sum + (found - b[i]!) ** 2;
  }, 0);
}

/** What is left of a column of length 1 without its part along others, below which it says nothing of its own. */
const leastPivot = 1e-9;

/** By the normal equations; null if columns depend on each other. */
function leastSquares(rows: readonly (readonly number[])[], b: readonly number[]): number[] | null {
  const n = rows[0]?.length ?? 0;
  const system = Array.from({ length: n }, (_, i) => [
    ...Array.from({ length: n }, (_, j) => rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0)),
    rows.reduce((sum, row, at) => sum + row[i]! * b[at]!, 0),
  ]);
  return solveDefinite(system, leastPivot);
}
