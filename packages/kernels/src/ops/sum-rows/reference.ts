/** The definition: `y[c] = Σ_r x[r, c]`, for x `[rows, cols]`. */
export function sumRowsReference(x: Float64Array, cols: number): Float64Array {
  const y = new Float64Array(cols);
  x.forEach((value, i) => {
    y[i % cols]! += value;
  });
  return y;
}
