/**
 * The x of A x = b, A being symmetric and positive definite; `system`: the rows of A, each with its number of b behind it, which
 * are used up. Null where a pivot is not above `smallestPivot`: A's columns depend on each other. No pivoting is needed.
 */
export function solveDefinite(system: readonly number[][], smallestPivot: number): number[] | null {
  const n = system.length;
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
  return x;
}
