/** The definition: `y[o, i, r] = x[o, length - 1 - i, r]` for x `[outer, length, inner]`. */
export function flipReference(x: Float64Array, length: number, inner: number): Float64Array {
  return x.map((_, index) => {
    const [row, r] = [Math.floor(index / inner), index % inner];
    const [o, i] = [Math.floor(row / length), row % length];
    return x[(o * length + length - 1 - i) * inner + r]!;
  });
}
