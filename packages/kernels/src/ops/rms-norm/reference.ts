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

/** The definition: x + branch, and the RMS norm of that, for x and branch `[rows, cols]`. */
export function residualNormReference(
  { x, branch, weight }: { x: Float64Array; branch?: Float64Array; weight: Float64Array },
  eps: number,
): Float64Array[] {
  const stream = x.map((value, i) => value + (branch?.[i] ?? 0));
  return [stream, ...rmsNormReference({ x: stream, weight }, eps)];
}

/** The definition: `y[r, c] = x[r, c] / sqrt(Σ_c x[r, c]² + eps)`, for x `[rows, cols]`. */
export function l2NormReference(x: Float64Array, cols: number, eps: number): Float64Array {
  const y = x.slice();
  for (let begin = 0; begin < x.length; begin += cols) {
    const squares = x.subarray(begin, begin + cols).reduce((sum, value) => sum + value * value, 0);
    for (let c = 0; c < cols; c++) y[begin + c]! /= Math.sqrt(squares + eps);
  }
  return y;
}
