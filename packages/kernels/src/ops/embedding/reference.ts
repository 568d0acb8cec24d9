/** The definition: `y[t, :] = table[tokens[t], :]`, for table `[vocab, dim]`. */
export function embeddingReference(
  tokens: ArrayLike<number>,
  table: Float64Array,
  dim: number,
): Float64Array[] {
  const y = new Float64Array(tokens.length * dim);
  for (let t = 0; t < tokens.length; t++) {
    y.set(table.subarray(tokens[t]! * dim, (tokens[t]! + 1) * dim), t * dim);
  }
  return [y];
}
