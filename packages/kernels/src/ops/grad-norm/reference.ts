/** The definition: factor `min(1, maxNorm / (norm + 1e-6))` and norm `√Σ g²`. */
export function clipReference(
  gradient: ArrayLike<number>,
  maxNorm: number,
): { factor: number; norm: number } {
  let sum = 0;
  for (let i = 0; i < gradient.length; i++) sum += gradient[i]! ** 2;
  const norm = Math.sqrt(sum);
  return { factor: Math.min(1, maxNorm / (norm + 1e-6)), norm };
}
