/** The definition on states [B, H, V, K]; factor [B, H] or [B, H, K] or null, reset [B] or null. */
export function transitionReference(
  [B, H, V, K]: readonly [number, number, number, number],
  factor: ArrayLike<number> | null,
  reset: ArrayLike<number> | null,
  E: ArrayLike<number>,
  S: ArrayLike<number>,
): Float64Array {
  return Float64Array.from({ length: B * H * V * K }, (_, index) => {
    const i = index % K;
    const head = Math.floor(index / (V * K));
    if (reset?.[Math.floor(head / H)]) return E[index]!;
    const m = factor === null ? 1 : factor.length === B * H ? factor[head]! : factor[head * K + i]!;
    return m * S[index]! + E[index]!;
  });
}
