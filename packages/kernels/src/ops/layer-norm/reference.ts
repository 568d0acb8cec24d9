/**
 * The definition, for x `[rows, cols]` with `weight` and `bias` `[groups, cols]`, row r taking their row r mod groups:
 * `y = (x - mean) / sqrt(mean((x - mean)²) + eps) · weight + bias`.
 */
export function layerNormReference(
  { x, weight, bias }: { x: Float64Array; weight: Float64Array; bias?: Float64Array },
  cols: number,
  eps: number,
): Float64Array {
  const y = new Float64Array(x.length);
  for (let begin = 0; begin < x.length; begin += cols) {
    const row = x.subarray(begin, begin + cols);
    const mean = row.reduce((sum, value) => sum + value, 0) / cols;
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / cols;
    row.forEach((value, c) => {
      const parameter = (begin + c) % weight.length;
      y[begin + c] =
        ((value - mean) / Math.sqrt(variance + eps)) * weight[parameter]! + (bias?.[parameter] ?? 0);
    });
  }
  return y;
}
