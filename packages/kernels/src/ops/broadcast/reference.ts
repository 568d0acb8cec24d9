/** The definition: b's element for each element of a `[outer, middle, inner]` is the one at its middle index. */
function along(b: Float64Array, inner: number): (i: number) => number {
  return (i) => b[Math.floor(i / inner) % b.length]!;
}

/** `a · b`, b `[middle]`. */
export function mulAlongReference(a: Float64Array, b: Float64Array, inner: number): Float64Array {
  const other = along(b, inner);
  return a.map((value, i) => value * other(i));
}

/** `a + factor · b`, b `[middle]`. */
export function addAlongReference(
  a: Float64Array,
  b: Float64Array,
  inner: number,
  factor: number,
): Float64Array {
  const other = along(b, inner);
  return a.map((value, i) => value + factor * other(i));
}

/** Each row of `cols` numbers, `times` times in succession. */
export function repeatHeadsReference(x: Float64Array, cols: number, times: number): Float64Array {
  return Float64Array.from({ length: x.length * times }, (_, i) => {
    const row = Math.floor(i / cols / times);
    return x[row * cols + (i % cols)]!;
  });
}

/** The sum of every `times` rows of `cols` numbers. */
export function sumHeadsReference(x: Float64Array, cols: number, times: number): Float64Array {
  const y = new Float64Array(x.length / times);
  x.forEach((value, i) => {
    y[Math.floor(i / cols / times) * cols + (i % cols)]! += value;
  });
  return y;
}
