/** The definition: `y[i, o, r] = x[o, i, r]` for x `[outer, inner, rest]`. */
export function swapAxesReference(x: Float64Array, outer: number, inner: number): Float64Array {
  const rest = x.length / (outer * inner);
  return x.map((_, index) => {
    const [row, r] = [Math.floor(index / rest), index % rest];
    const [i, o] = [Math.floor(row / outer), row % outer];
    return x[(o * inner + i) * rest + r]!;
  });
}
