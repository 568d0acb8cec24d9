/** The definition: `y[r, c] = x[r, c] / sqrt(mean_c(x[r, c]²) + eps) · weight[c]`, for x `[rows, cols]`. */
export function rmsNormReference(
  { x, weight }: { x: Float64Array; weight: Float64Array },
  eps: number,
): Float64Array[] {
  const cols = weight.length;
  const y = x.slice();
  for (let begin = 0; begin < x.length; begin += cols) {
    const row = x.subarray(begin, begin + cols);
    const meanSquare = row.reduce((sum, value) => sum + value * value, 0) / cols;
    for (let c = 0; c < cols; c++) y[begin + c]! *= weight[c]! / Math.sqrt(meanSquare + eps);
  }
  return [y];
}
