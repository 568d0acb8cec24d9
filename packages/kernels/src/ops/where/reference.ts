/** The definition: row r of the result is a's where `condition[r]` is not 0, else b's; null: zeros. */
export function whereReference(
  condition: ArrayLike<number>,
  a: Float64Array | null,
  b: Float64Array | null,
): Float64Array {
  const size = (a ?? b)!.length;
  return Float64Array.from({ length: size }, (_, i) => {
    const source = condition[Math.floor((i * condition.length) / size)] ? a : b;
    return source?.[i] ?? 0;
  });
}
