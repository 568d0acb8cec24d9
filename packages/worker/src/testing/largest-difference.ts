/** Largest difference between two lists of numbers, relative to the largest number expected. */
export function largestDifference(found: Float64Array, expected: Float64Array): number {
  const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  return found.reduce((max, value, i) => Math.max(max, Math.abs(value - expected[i]!)), 0) / largest;
}
