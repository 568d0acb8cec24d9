/** The definition: `y[r, c] = e^x[r, c] / Σ e^x[r, c']` over the `count` largest of each row of x [rows, cols], else 0. */
export function softmaxReference(x: Float64Array, cols: number, count = cols): Float64Array {
  const y = new Float64Array(x.length);
  for (let begin = 0; begin < x.length; begin += cols) {
    const row = Array.from(x.subarray(begin, begin + cols), (value, c) => ({ value, c }));
    const largest = row.sort((a, b) => b.value - a.value || a.c - b.c).slice(0, count);
    const sum = largest.reduce((total, { value }) => total + Math.exp(value), 0);
    for (const { value, c } of largest) y[begin + c] = Math.exp(value) / sum;
  }
  return y;
}
