/**
 * The definition: `scale · Σ_t (log Σ_v e^z[t, v] − z[t, labels[t]])` over the t with labels[t] ≥ 0, where
 * `z = hidden weightᵀ`, hidden `[N, dim]`, weight `[vocab, dim]`.
 */
export function crossEntropyReference(
  { hidden, weight }: { hidden: Float64Array; weight: Float64Array },
  labels: ArrayLike<number>,
  dim: number,
  scale: number,
): Float64Array[] {
  const vocab = weight.length / dim;
  let loss = 0;
  for (let t = 0; t < labels.length; t++) {
    if (labels[t]! < 0) continue;
    const logits = Array.from({ length: vocab }, (_, v) => {
      let sum = 0;
      for (let i = 0; i < dim; i++) sum += hidden[t * dim + i]! * weight[v * dim + i]!;
      return sum;
    });
    const largest = Math.max(...logits);
    const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
    loss += Math.log(sum) + largest - logits[labels[t]!]!;
  }
  return [Float64Array.of(scale * loss)];
}
