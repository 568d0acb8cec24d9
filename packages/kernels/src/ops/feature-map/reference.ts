/** The definitions, by what they are for: φ(q) · φ(k) is this function of s = q · k. */
export const featureProducts = {
  taylor: (s: number, K: number) => 1 + s / Math.sqrt(K) + s ** 2 / (2 * K),
  square: (s: number, K: number) => s ** 2 / K,
} as const;

/** φ of every row of x [rows, K], element by element. */
export function featureMapReference(kind: 'taylor' | 'square', x: Float64Array, K: number): Float64Array {
  const rows: number[][] = [];
  for (let at = 0; at < x.length; at += K) {
    const row = [...x.subarray(at, at + K)];
    const squares = row.map((value) => value ** 2);
    const products = row.flatMap((a, i) => row.slice(i + 1).map((b) => a * b));
    rows.push(
      kind === 'taylor'
        ? [
            1,
            ...row.map((value) => value / K ** 0.25),
            ...squares.map((value) => value / Math.sqrt(2 * K)),
            ...products.map((value) => value / Math.sqrt(K)),
          ]
        : [
            ...squares.map((value) => value / Math.sqrt(K)),
            ...products.map((value) => value * Math.sqrt(2 / K)),
          ],
    );
  }
  return Float64Array.from(rows.flat());
}
