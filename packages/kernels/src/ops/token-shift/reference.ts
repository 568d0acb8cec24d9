/** The definition: row t is row t - 1 of x `[B, T, D]`, zeros where a document starts. */
export function tokenShiftReference(
  { x, halo }: { x: Float64Array; halo?: Float64Array },
  { T, D }: { T: number; D: number },
  resets: Int32Array | null,
): Float64Array {
  return x.map((_, i) => {
    const row = Math.floor(i / D);
    if (resets?.[row]) return 0;
    return row % T > 0 ? x[i - D]! : (halo?.[Math.floor(row / T) * D + (i % D)] ?? 0);
  });
}
