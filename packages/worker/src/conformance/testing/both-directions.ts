import type { RecurrenceCase } from './recurrence-case.js';

/** What a definition is evaluated on. */
export type CaseValues = Pick<RecurrenceCase, 'q' | 'k' | 'v' | 'g'>;

/**
 * Gated linear attention in both directions as a double sum, which knows of no state: o_t = 1/√K Σ_s (q_t · (d_ts ∘ k_s)) v_s
 * over the tokens s of t's document, where d_ts is the product of the decays of the tokens from the one after s to t, or, if s
 * comes after t, from t to the one before s. Output [B, T, H, V].
 */
export function bothDirections(
  { kind, B, T, H, K, V, resets }: RecurrenceCase,
  { q, k, v, g }: CaseValues,
): Float64Array {
  const output = new Float64Array(v.length);
  const document = documentsOf(resets, B, T);
  const decay = (b: number, t: number, h: number, i: number): number => {
    if (g === null) return 0;
    if (kind === 'fixed-scalar') return g[h]!;
    const head = (b * T + t) * H + h;
    return kind === 'scalar' ? g[head]! : g[head * K + i]!;
  };
  const rowOf = (b: number, t: number, h: number) => (b * T + t) * H + h;
  const add = (b: number, t: number, s: number, h: number, logs: Float64Array) => {
    const [to, from] = [rowOf(b, t, h), rowOf(b, s, h)];
    let score = 0;
    for (let i = 0; i < K; i++) score += q[to * K + i]! * Math.exp(logs[i]!) * k[from * K + i]!;
    for (let j = 0; j < V; j++) output[to * V + j]! += (score * v[from * V + j]!) / Math.sqrt(K);
  };
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      for (let t = 0; t < T; t++) {
        add(b, t, t, h, new Float64Array(K));
        for (const step of [-1, 1]) {
          const logs = new Float64Array(K);
          for (let s = t + step; s >= 0 && s < T; s += step) {
            if (document[b * T + s] !== document[b * T + t]) break;
            // The decay of the token that lies between, on t's side.
            for (let i = 0; i < K; i++) logs[i]! += decay(b, s - step, h, i);
            add(b, t, s, h, logs);
          }
        }
      }
    }
  }
  return output;
}

/** By token [B, T], which document of its row it belongs to. */
function documentsOf(resets: Int32Array | null, B: number, T: number): Int32Array {
  const documents = new Int32Array(B * T);
  for (let i = 0; i < B * T; i++) {
    documents[i] = i % T === 0 ? 0 : documents[i - 1]! + (resets?.[i] ?? 0);
  }
  return documents;
}
