/** One call, f64, row-major: q k [B, T, H, K]; v [B, T, H, V]; beta g [B, T, H]; lambda [H, K]; h0 [B, H, K + V, K] or null. */
export interface MesaCall {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
  readonly resets: Int32Array | null;
}

export interface MesaValues {
  readonly q: Float64Array;
  readonly k: Float64Array;
  readonly v: Float64Array;
  readonly beta: Float64Array;
  readonly g: Float64Array;
  readonly lambda: Float64Array;
}

/**
 * The definition, token by token: S = e^g S + β [k; v] kᵀ, whose first K rows are Hkk and the others Hkv;
 * o = Hkv (Hkk + Λ)⁻¹ q. Returns o [B, T, H, V] and the last state [B, H, K + V, K].
 */
export function mesaReference(
  call: MesaCall,
  { q, k, v, beta, g, lambda }: MesaValues,
  h0: Float64Array | null,
): { output: Float64Array; finalState: Float64Array } {
  const { B, T, H, K, V, resets } = call;
  const output = new Float64Array(B * T * H * V);
  const finalState = h0 ? h0.slice() : new Float64Array(B * H * (K + V) * K);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const S = finalState.subarray((b * H + h) * (K + V) * K, (b * H + h + 1) * (K + V) * K);
      for (let t = 0; t < T; t++) {
        const at = (b * T + t) * H + h;
        if (resets?.[b * T + t]) S.fill(0);
        for (let r = 0; r < K + V; r++) {
          const value = r < K ? k[at * K + r]! : v[at * V + r - K]!;
          for (let x = 0; x < K; x++) {
            S[r * K + x] = Math.exp(g[at]!) * S[r * K + x]! + beta[at]! * value * k[at * K + x]!;
          }
        }
        const system = Array.from({ length: K }, (_, i) => {
          const row = S.slice(i * K, (i + 1) * K);
          row[i]! += lambda[h * K + i]!;
          return row;
        });
        const solution = solve(system, q.slice(at * K, (at + 1) * K));
        for (let y = 0; y < V; y++) {
          for (let x = 0; x < K; x++) output[at * V + y]! += S[(K + y) * K + x]! * solution[x]!;
        }
      }
    }
  }
  return { output, finalState };
}

/** Gaussian elimination with row pivots; A need not be symmetric. */
function solve(A: Float64Array[], b: Float64Array): Float64Array {
  const n = b.length;
  for (let p = 0; p < n; p++) {
    let pivot = p;
    for (let i = p + 1; i < n; i++) if (Math.abs(A[i]![p]!) > Math.abs(A[pivot]![p]!)) pivot = i;
    [A[p], A[pivot]] = [A[pivot]!, A[p]!];
    [b[p], b[pivot]] = [b[pivot]!, b[p]!];
    for (let i = p + 1; i < n; i++) {
      const factor = A[i]![p]! / A[p]![p]!;
      for (let x = p; x < n; x++) A[i]![x]! -= factor * A[p]![x]!;
      b[i]! -= factor * b[p]!;
    }
  }
  for (let p = n - 1; p >= 0; p--) {
    for (let x = p + 1; x < n; x++) b[p]! -= A[p]![x]! * b[x]!;
    b[p]! /= A[p]![p]!;
  }
  return b;
}
