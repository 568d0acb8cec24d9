/** The definition: columns `[from, from + size)` of each row of `cols` numbers. */
export function columnsReference(x: Float64Array, cols: number, from: number, size: number): Float64Array {
  const rows = x.length / cols;
  return Float64Array.from(
    { length: rows * size },
    (_, i) => x[Math.floor(i / size) * cols + from + (i % size)]!,
  );
}

/** The definition: row r is row r of each part, one after the other. */
export function concatLastReference(parts: readonly Float64Array[], sizes: readonly number[]): Float64Array {
  const rows = parts[0]!.length / sizes[0]!;
  return Float64Array.from(
    Array.from({ length: rows }, (_, row) =>
      parts.flatMap((part, i) => [...part.subarray(row * sizes[i]!, (row + 1) * sizes[i]!)]),
    ).flat(),
  );
}
