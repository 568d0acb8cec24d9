/** How the imaginary parts of a diagonal state space model start (S4D, arXiv 2206.11893, section 4). */
export type SpectrumName = 'lin' | 'legs';

/**
 * Imaginary parts > 0, ascending, of a model with `numModes` conjugate pairs; all real parts are -1/2. `lin`: π n from
 * n = 0 (S4D-Lin). `legs`: those of the normal part of HiPPO-LegS, 2·numModes square (S4D-LegS; S5's HiPPO-N).
 */
export function spectrum(name: SpectrumName, numModes: number): number[] {
  return name === 'lin'
    ? Array.from({ length: numModes }, (_, n) => Math.PI * n)
    : legsFrequencies(2 * numModes);
}

/** A + 1/2 of HiPPO-LegS without its low-rank term: skew-symmetric, (2n + 1)^½ (2k + 1)^½ / 2 above the diagonal. */
export function legsSkew(size: number): Float64Array[] {
  return Array.from({ length: size }, (_, n) =>
    Float64Array.from({ length: size }, (_, k) => Math.sign(k - n) * Math.sqrt((n + 0.5) * (k + 0.5))),
  );
}

/**
 * Eigenvalues ±iω of a skew-symmetric matrix of even size: orthogonal reflections bring it to a tridiagonal T, iT is
 * similar to the symmetric tridiagonal matrix with the same neighbours of a zero diagonal, and that one's eigenvalues are
 * found by counting signs.
 */
function legsFrequencies(size: number): number[] {
  const neighbours = tridiagonalise(legsSkew(size));
  const largest = 2 * Math.max(...neighbours);
  return Array.from({ length: size / 2 }, (_, i) => {
    let [low, high] = [0, largest];
    // Each step halves the interval: after 100 of them it is one number wide.
    for (let step = 0; step < 100; step++) {
      const middle = (low + high) / 2;
      if (numBelow(neighbours, middle) > size / 2 + i) high = middle;
      else low = middle;
    }
    return (low + high) / 2;
  });
}

/** Magnitudes below the diagonal after Householder's reflections, each of which works on what is right of and below it. */
function tridiagonalise(a: Float64Array[]): number[] {
  const size = a.length;
  return Array.from({ length: size - 1 }, (_, k) => {
    const v = Float64Array.from({ length: size - k - 1 }, (_, i) => a[k + 1 + i]![k]!);
    const magnitude = Math.hypot(...v);
    v[0]! += v[0]! < 0 ? -magnitude : magnitude;
    const length = Math.hypot(...v);
    const unit = v.map((value) => value / length);
    // (I - 2vvᵀ) A (I - 2vvᵀ) = A + 2 v wᵀ - 2 w vᵀ with w = A v, since vᵀ A v = 0.
    const rest = a.slice(k + 1).map((row) => row.subarray(k + 1));
    const w = Float64Array.from(rest, (row) => row.reduce((sum, value, j) => sum + value * unit[j]!, 0));
    rest.forEach((row, i) => {
      for (let j = 0; j < row.length; j++) row[j]! += 2 * (unit[i]! * w[j]! - w[i]! * unit[j]!);
    });
    return magnitude;
  });
}

/** How many eigenvalues of the symmetric tridiagonal matrix with a zero diagonal lie below x (Sturm's sequence). */
function numBelow(neighbours: readonly number[], x: number): number {
  let pivot = -x;
  let count = pivot < 0 ? 1 : 0;
  for (const neighbour of neighbours) {
    pivot = -x - neighbour ** 2 / (pivot === 0 ? Number.MIN_VALUE : pivot);
    if (pivot < 0) count++;
  }
  return count;
}
