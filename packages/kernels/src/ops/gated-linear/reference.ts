import type { DecayKind } from './inputs.js';

/** One call, row-major; its inputs as in `GatedLinearInputs`. */
export interface GatedLinearCall {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  /** Groups of heads that share q and k. */
  readonly G: number;
  readonly K: number;
  readonly V: number;
  readonly decay: DecayKind;
  readonly decayOn: 'key' | 'value';
  readonly scale: number;
  /** [B, T] */
  readonly resets: ArrayLike<number> | null;
}

/** f64; null for one that the call does not have. */
export interface GatedLinearValues {
  readonly q: Float64Array;
  readonly k: Float64Array;
  readonly v: Float64Array;
  readonly g: Float64Array | null;
  /** With it a token reads the state before it, and itself by this much. */
  readonly u: Float64Array | null;
  readonly h0: Float64Array | null;
}

/**
 * The definition, token by token: S = reset ? 0 : S; P = S; S = a_t S + k_t v_tᵀ; o_t = scale · Rᵀ q_t, where R = S, or
 * P + diag(u) k_t v_tᵀ with a bonus. Returns o [B, T, H, V] and the last state, [B, H, V, K] where the decay is on keys,
 * [B, H, K, V] where it is on values.
 */
export function gatedLinearReference(
  call: GatedLinearCall,
  { q, k, v, g, u, h0 }: GatedLinearValues,
): [Float64Array, Float64Array] {
  const { B, T, H, G, K, V, decayOn, scale, resets } = call;
  const o = new Float64Array(B * T * H * V);
  const states = h0 ? h0.slice() : new Float64Array(B * H * V * K);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const S = states.subarray((b * H + h) * V * K, (b * H + h + 1) * V * K);
      for (let t = 0; t < T; t++) {
        const row = (b * T + t) * H + h;
        const key = ((b * T + t) * G + Math.floor((h * G) / H)) * K;
        if (resets?.[b * T + t]) S.fill(0);
        for (let j = 0; j < V; j++) {
          for (let i = 0; i < K; i++) {
            const at = decayOn === 'key' ? j * K + i : i * V + j;
            const before = S[at]!;
            const written = k[key + i]! * v[row * V + j]!;
            S[at] = Math.exp(logDecay(call, g, h, row, i, j)) * before + written;
            const read = u ? before + u[h * K + i]! * written : S[at]!;
            o[row * V + j]! += scale * q[key + i]! * read;
          }
        }
      }
    }
  }
  return [o, states];
}

/** That of element (i, j) of the state [K, V] of head h at this row (b, t, h). */
function logDecay(
  { decay, decayOn, K, V }: GatedLinearCall,
  g: Float64Array | null,
  h: number,
  row: number,
  i: number,
  j: number,
): number {
  if (decay === 'identity') return 0;
  if (decay === 'fixed-scalar') return g![h]!;
  if (decay === 'scalar') return g![row]!;
  return decayOn === 'key' ? g![row * K + i]! : g![row * V + j]!;
}
