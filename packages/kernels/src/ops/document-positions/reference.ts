/** The definition: position [b, t] = t − the last reset at or before t; where there is none, `before[b]` + t. */
export function documentPositionsReference(
  T: number,
  before: ArrayLike<number>,
  resets: ArrayLike<number> | null,
): Int32Array {
  return Int32Array.from({ length: before.length * T }, (_, i) => {
    const [b, t] = [Math.floor(i / T), i % T];
    for (let s = t; s >= 0 && resets !== null; s--) if (resets[b * T + s] === 1) return t - s;
    return before[b]! + t;
  });
}
