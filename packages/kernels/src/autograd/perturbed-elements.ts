/**
 * The numbers of those of `size` elements that a check perturbs for central differences: `wanted` of them or all, and fewer than
 * twice as many. They lie the golden ratio of all apart, so in all rows and columns: even steps, which a row's length often
 * divides, would meet the same columns again and again, and say nothing of the others.
 */
export function perturbedElements(size: number, wanted: number): number[] {
  const count = Math.ceil(size / Math.max(1, Math.floor(size / wanted)));
  let step = Math.max(1, Math.round(size / 1.618));
  while (greatestDivisor(step, size) > 1) step++;
  return Array.from({ length: count }, (_, i) => (i * step) % size);
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}
