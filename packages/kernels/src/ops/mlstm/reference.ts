/** One call, f64, row-major: q k [B, T, H, K]; v [B, T, H, V]; i f [B, T, H]; h0 [B, H, V + 1, K + 1] or null: empty. */
export interface MlstmCall {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
  readonly scale: number;
  readonly resets: Int32Array | null;
}

export interface MlstmValues {
  readonly q: Float64Array;
  readonly k: Float64Array;
  readonly v: Float64Array;
  readonly i: Float64Array;
  readonly f: Float64Array;
}

/**
 * The definition, token by token and without a stabiliser (xLSTM, equations 19 to 27): C = e^f C + e^i v kᵀ, n = e^f n + e^i k,
 * h = C q / max(|n · q|, 1) with q scaled. Returns h [B, T, H, V] and the last state, its rows scaled by exp(-m) for the
 * running maximum m (equation 15) that they end with.
 */
export function mlstmReference(
  call: MlstmCall,
  { q, k, v, i, f }: MlstmValues,
  h0: Float64Array | null,
): { output: Float64Array; finalState: Float64Array } {
  const { B, T, H, K, V, scale, resets } = call;
  const output = new Float64Array(B * T * H * V);
  const finalState = new Float64Array(B * H * (V + 1) * (K + 1));
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const last = finalState.subarray((b * H + h) * (V + 1) * (K + 1), (b * H + h + 1) * (V + 1) * (K + 1));
      const rows = Array.from({ length: V + 1 }, () => new Float64Array(K)); // those of C, then n
      let m = Number.NEGATIVE_INFINITY;
      for (let r = 0; h0 !== null && r <= V; r++) {
        const stored = h0.subarray(
          ((b * H + h) * (V + 1) + r) * (K + 1),
          ((b * H + h) * (V + 1) + r + 1) * (K + 1),
        );
        for (let x = 0; x < K; x++) rows[r]![x] = stored[x]! * Math.exp(stored[K]!);
        m = Math.max(m, stored[K]!);
      }
      for (let t = 0; t < T; t++) {
        const at = (b * T + t) * H + h;
        if (resets?.[b * T + t]) {
          for (const row of rows) row.fill(0);
          m = Number.NEGATIVE_INFINITY;
        }
        m = Math.max(f[at]! + m, i[at]!);
        const sums = rows.map((row, r) => {
          const value = Math.exp(i[at]!) * (r < V ? v[at * V + r]! : 1);
          let sum = 0;
          for (let x = 0; x < K; x++) {
            row[x] = Math.exp(f[at]!) * row[x]! + value * k[at * K + x]!;
            sum += scale * row[x]! * q[at * K + x]!;
          }
          return sum;
        });
        const normalizer = Math.max(Math.abs(sums[V]!), 1);
        for (let y = 0; y < V; y++) output[at * V + y] = sums[y]! / normalizer;
      }
      rows.forEach((row, r) => {
        for (let x = 0; x < K; x++) last[r * (K + 1) + x] = row[x]! * Math.exp(-m);
        last[r * (K + 1) + K] = m;
      });
    }
  }
  return { output, finalState };
}
