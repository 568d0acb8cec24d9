/** The value that a share of all values does not exceed: the nearest one that is there, none in between. */
export function quantileOf(values: readonly number[], quantile: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const value = sorted[Math.round(quantile * (sorted.length - 1))];
  if (value === undefined) throw new RangeError('no values to take a quantile of');
  return value;
}
