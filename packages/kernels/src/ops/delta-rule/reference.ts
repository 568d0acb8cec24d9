import type { DeltaErase, DeltaGate, DeltaRead } from './inputs.js';

/** One call: n rows for each token; f64, row-major, shaped as in `DeltaRuleInputs`; h0 [B, H, V, K]. */
export interface DeltaRuleCall {
  readonly B: number;
  readonly T: number;
  readonly n: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
  readonly gate: DeltaGate;
  readonly erase: DeltaErase;
  readonly read: DeltaRead;
  readonly scale: number;
  readonly resets: ArrayLike<number> | null;
}

type Values<N extends string> = { readonly [K in N]: Float64Array | null };

/**
 * The definition, token by token: S = reset ? 0 : S; then for each row of the token, with a = exp(g) in the first and 1
 * in the others, x = Sᵀ b (b = a ∘ k where the key erases), S = a S + β k (v - x)ᵀ (dplr: a S + β k vᵀ + e xᵀ); then
 * o = scale · Sᵀ q, read by value scale · S q. Returns o and the last state, transposed, [B, H, V, K].
 */
export function deltaRuleReference(
  { B, T, n, H, K, V, gate, erase, read, scale, resets }: DeltaRuleCall,
  { q, k, v, beta, g, b, e, h0 }: Values<'q' | 'k' | 'v' | 'beta' | 'g' | 'b' | 'e' | 'h0'>,
): [Float64Array, Float64Array] {
  const size = read === 'key' ? V : K;
  const o = new Float64Array(B * T * H * size);
  const states = h0 ? h0.slice() : new Float64Array(B * H * V * K);
  for (let batch = 0; batch < B; batch++) {
    for (let h = 0; h < H; h++) {
      const S = states.subarray((batch * H + h) * V * K, (batch * H + h + 1) * V * K); // [V, K]
      for (let t = 0; t < T; t++) {
        if (resets?.[batch * T + t]) S.fill(0);
        const token = (batch * T + t) * H + h;
        for (let step = 0; step < n; step++) {
          const row = ((batch * T + t) * n + step) * H + h;
          const decay = (i: number): number => {
            if (gate === 'none' || step > 0) return 1;
            return Math.exp(gate === 'scalar' ? g![token]! : g![token * K + i]!);
          };
          for (let j = 0; j < V; j++) {
            let x = 0;
            for (let i = 0; i < K; i++) {
              const key = erase === 'key' ? decay(i) * k![row * K + i]! : b![row * K + i]!;
              x += key * S[j * K + i]!;
            }
            const value = v![row * V + j]!;
            for (let i = 0; i < K; i++) {
              const written = (beta ? beta[row]! : 1) * k![row * K + i]!;
              S[j * K + i]! *= decay(i);
              S[j * K + i]! +=
                erase === 'dplr' ? written * value + e![row * K + i]! * x : written * (value - x);
            }
          }
        }
        for (let j = 0; j < V; j++) {
          for (let i = 0; i < K; i++) {
            const element = scale * S[j * K + i]!;
            if (read === 'key') o[token * V + j]! += element * q![token * K + i]!;
            else o[token * K + i]! += element * q![token * V + j]!;
          }
        }
      }
    }
  }
  return [o, states];
}
