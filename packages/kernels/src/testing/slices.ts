/** Tokens `[begin, begin + length)` of every batch row of values [B, T, …]. */
export function sliceTokens<A extends Float64Array | Int32Array>(
  values: A,
  { B, T }: { readonly B: number; readonly T: number },
  begin: number,
  length: number,
): A {
  const width = values.length / (B * T);
  const slice = values.slice(0, B * length * width) as A;
  for (let b = 0; b < B; b++) {
    const from = (b * T + begin) * width;
    slice.set(values.subarray(from, from + length * width), b * length * width);
  }
  return slice;
}

/** Puts a slice [B, length, …] back into values [B, T, …]. */
export function placeTokens(
  target: Float64Array,
  { B, T }: { readonly B: number; readonly T: number },
  begin: number,
  slice: Float64Array,
): void {
  const width = target.length / (B * T);
  const rowSize = slice.length / B;
  for (let b = 0; b < B; b++) {
    target.set(slice.subarray(b * rowSize, (b + 1) * rowSize), (b * T + begin) * width);
  }
}
