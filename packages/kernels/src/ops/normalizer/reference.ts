/** The definition: each row of v `[rows, cols]` followed by a one. */
export function appendOnesReference(v: Float64Array, cols: number): Float64Array {
  const wide = new Float64Array((v.length / cols) * (cols + 1)).fill(1);
  v.forEach((value, i) => {
    wide[i + Math.floor(i / cols)] = value;
  });
  return wide;
}

/** The definition: `o[r, c] / z`, z = `o[r, cols]` but `±eps` if that is nearer to zero (0 counts as positive). */
export function normalizeLastReference(o: Float64Array, cols: number, eps: number): Float64Array {
  return Float64Array.from({ length: (o.length / (cols + 1)) * cols }, (_, i) => {
    const row = Math.floor(i / cols);
    const z = o[row * (cols + 1) + cols]!;
    const guarded = Math.abs(z) < eps ? (z < 0 ? -eps : eps) : z;
    return o[i + row]! / guarded;
  });
}
