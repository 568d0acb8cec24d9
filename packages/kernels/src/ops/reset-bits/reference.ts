/** The definition: [B], 1 for each row of resets [B, T] that holds a 1. */
export function resetBitsReference(resets: ArrayLike<number>, [B, T]: readonly [number, number]): number[] {
  return Array.from({ length: B }, (_, b) =>
    Number(Array.from({ length: T }, (_, t) => resets[b * T + t]!).some((reset) => reset !== 0)),
  );
}
