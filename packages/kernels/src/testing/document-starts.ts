/** Resets [B, T] with documents that start at these tokens, in batch row b shifted by b; null where there are none. */
export function documentStarts(
  B: number,
  T: number,
  starts: readonly number[] | undefined,
): Int32Array | null {
  if (starts === undefined) return null;
  const resets = new Int32Array(B * T);
  for (let b = 0; b < B; b++) for (const t of starts) resets[b * T + Math.min(t + b, T - 1)] = 1;
  return resets;
}
