import type { DecayKind } from './index.js';

/** One call, f64, row-major: q k [B, T, H, K]; v [B, T, H, V]; g as its decay kind says; h0 [B, H, V, K]. */
export interface GatedLinearCall {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
  readonly decay: DecayKind;
  readonly scale: number;
  readonly resets?: ArrayLike<number>;
}

/**
 * The definition, token by token: S = reset ? 0 : S; S = a_t S + k_t v_tᵀ; o_t = scale · q_tᵀ S.
 * Returns o [B, T, H, V] and the last state, transposed, [B, H, V, K].
 */
export function gatedLinearReference(
  call: GatedLinearCall,
  inputs: { q: Float64Array; k: Float64Array; v: Float64Array; g?: Float64Array; h0?: Float64Array },
): [Float64Array, Float64Array] {
  const { B, T, H, K, V, decay, scale, resets } = call;
  const { q, k, v, g, h0 } = inputs;
  const o = new Float64Array(B * T * H * V);
  const states = h0 ? h0.slice() : new Float64Array(B * H * V * K);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const S = states.subarray((b * H + h) * V * K, (b * H + h + 1) * V * K); // [V, K]
      for (let t = 0; t < T; t++) {
        const row = (b * T + t) * H + h;
        if (resets?.[b * T + t]) S.fill(0);
        for (let j = 0; j < V; j++) {
          for (let i = 0; i < K; i++) {
            const a = logDecay(decay, g, h, row, i, K);
            S[j * K + i] = Math.exp(a) * S[j * K + i]! + k[row * K + i]! * v[row * V + j]!;
            o[row * V + j]! += scale * q[row * K + i]! * S[j * K + i]!;
          }
        }
      }
    }
  }
  return [o, states];
}

function logDecay(
  decay: DecayKind,
  g: Float64Array | undefined,
  h: number,
  row: number,
  i: number,
  K: number,
): number {
  if (decay === 'identity') return 0;
  if (decay === 'fixed-scalar') return g![h]!;
  return decay === 'scalar' ? g![row]! : g![row * K + i]!;
}
