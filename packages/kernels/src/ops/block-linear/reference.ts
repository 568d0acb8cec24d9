/** The definition: y[r, g, o] = Σ_c weight[g, o, c] x[r, g, c]. */
export function blockLinearReference(
  { numRows, G, size, out }: { numRows: number; G: number; size: number; out: number },
  x: Float64Array,
  weight: Float64Array,
): Float64Array {
  const y = new Float64Array(numRows * G * out);
  for (let r = 0; r < numRows; r++) {
    for (let g = 0; g < G; g++) {
      for (let o = 0; o < out; o++) {
        for (let c = 0; c < size; c++) {
          y[(r * G + g) * out + o]! += weight[(g * out + o) * size + c]! * x[(r * G + g) * size + c]!;
        }
      }
    }
  }
  return y;
}
