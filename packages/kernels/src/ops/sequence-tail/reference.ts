/** For each row of the tail the position it comes from, negative in the halo; null: zeros. x [B, T, D], `numRows` R. */
export function tailPositions(
  T: number,
  numRows: number,
  resets: readonly number[] | null,
): (number | null)[] {
  const start = resets?.lastIndexOf(1) ?? -1;
  return Array.from({ length: numRows }, (_, row) => {
    const position = T - numRows + row;
    return start >= 0 && position < start ? null : position;
  });
}
