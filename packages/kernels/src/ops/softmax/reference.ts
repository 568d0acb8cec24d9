/**
 * The definition: `y[r, c] = e^x[r, c] / Σ e^x[r, c']` over the `count` largest of each row of x [rows, cols], else 0; in
 * `always` more columns 1.
 */
export function softmaxReference(x: Float64Array, cols: number, count = cols, always = 0): Float64Array {
  const y = new Float64Array((x.length / cols) * (cols + always)).fill(1);
  for (let row = 0; row < x.length / cols; row++) {
    const begin = row * (cols + always);
    y.fill(0, begin, begin + cols);
    const elements = Array.from(x.subarray(row * cols, (row + 1) * cols), (value, c) => ({ value, c }));
    const largest = elements.sort((a, b) => b.value - a.value || a.c - b.c).slice(0, count);
    const sum = largest.reduce((total, { value }) => total + Math.exp(value), 0);
    for (const { value, c } of largest) y[begin + c] = Math.exp(value) / sum;
  }
  return y;
}
