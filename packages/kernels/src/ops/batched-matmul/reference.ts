/** Sizes of one product and which operands are stored transposed. */
export interface MatmulCall {
  readonly batch: number;
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly transA: boolean;
  readonly transB: boolean;
}

/** The definition: `c[i, j] = Σ_p op(a)[i, p] op(b)[p, j]` for every matrix of the batch. */
export function batchedMatmulReference(
  { batch, M, N, K, transA, transB }: MatmulCall,
  { a, b }: { a: Float64Array; b: Float64Array },
): Float64Array[] {
  const c = new Float64Array(batch * M * N);
  for (let x = 0; x < batch; x++) {
    for (let i = 0; i < M; i++) {
      for (let j = 0; j < N; j++) {
        for (let p = 0; p < K; p++) {
          const left = a[x * M * K + (transA ? p * M + i : i * K + p)]!;
          const right = b[x * K * N + (transB ? j * K + p : p * N + j)]!;
          c[(x * M + i) * N + j]! += left * right;
        }
      }
    }
  }
  return [c];
}
