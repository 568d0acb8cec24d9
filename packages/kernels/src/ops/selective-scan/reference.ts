/** One call, f64, row-major: x, delta [B, T, D]; A [D, N]; B, C [B, T, N]; h0 [B, D, N]. */
export interface SelectiveScanCall {
  readonly numBatch: number;
  readonly numTokens: number;
  readonly D: number;
  readonly N: number;
  readonly resets: ArrayLike<number> | null;
}

/**
 * The definition, token by token: h = reset ? 0 : h; h = exp(delta A) h + delta B x; y = Σ_n C_n h_n.
 * Returns y [B, T, D] and the last state [B, D, N].
 */
export function selectiveScanReference(
  { numBatch, numTokens, D, N, resets }: SelectiveScanCall,
  { x, delta, A, B, C }: Readonly<Record<'x' | 'delta' | 'A' | 'B' | 'C', Float64Array>>,
  h0: Float64Array | null,
): { output: Float64Array; finalState: Float64Array } {
  const output = new Float64Array(numBatch * numTokens * D);
  const finalState = h0 === null ? new Float64Array(numBatch * D * N) : h0.slice();
  for (let b = 0; b < numBatch; b++) {
    for (let t = 0; t < numTokens; t++) {
      const row = b * numTokens + t;
      for (let d = 0; d < D; d++) {
        const step = delta[row * D + d]!;
        for (let n = 0; n < N; n++) {
          const i = (b * D + d) * N + n;
          const kept = resets?.[row] ? 0 : Math.exp(step * A[d * N + n]!) * finalState[i]!;
          finalState[i] = kept + step * B[row * N + n]! * x[row * D + d]!;
          output[row * D + d]! += C[row * N + n]! * finalState[i]!;
        }
      }
    }
  }
  return { output, finalState };
}
