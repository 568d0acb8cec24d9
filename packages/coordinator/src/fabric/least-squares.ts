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
  // Cholesky needs no pivoting, and neither does elimination of such a matrix.
  for (let i = 0; i < n; i++) {
    const pivot = system[i]![i]!;
    if (!(pivot > smallestPivot)) return null;
    for (let k = i + 1; k < n; k++) {
      const factor = system[k]![i]! / pivot;
      for (let j = i; j <= n; j++) system[k]![j]! -= factor * system[i]![j]!;
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    let rest = system[i]![n]!;
    for (let j = i + 1; j < n; j++) rest -= system[i]![j]! * x[j]!;
    x[i] = rest / system[i]![i]!;
  }
  return x.map((value, i) => value / scale[i]!);
}
