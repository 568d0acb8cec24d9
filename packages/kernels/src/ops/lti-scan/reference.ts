/** One call, f64, row-major: u [B, T, C], complex [B, T, 2C]; logLambda, w [C, N, 2]; h0 [B, C, N, 2]. */
export interface LtiScanCall {
  readonly B: number;
  readonly T: number;
  readonly C: number;
  readonly N: number;
  readonly complex: boolean;
  readonly resets: ArrayLike<number> | null;
}

/**
 * The definition, token by token: h = reset ? 0 : h; h = λ h + u; y = Σ_n w_n h_n, its real part unless complex.
 * Returns y (like u) and the last state [B, C, N, 2].
 */
export function ltiScanReference(
  { B, T, C, N, complex, resets }: LtiScanCall,
  { u, logLambda, w }: Readonly<Record<'u' | 'logLambda' | 'w', Float64Array>>,
  h0: Float64Array | null,
): { output: Float64Array; finalState: Float64Array } {
  const width = complex ? 2 * C : C;
  const output = new Float64Array(B * T * width);
  const finalState = h0 === null ? new Float64Array(B * C * N * 2) : h0.slice();
  for (let row = 0; row < B * T; row++) {
    for (let i = 0; i < C * N; i++) {
      const c = Math.floor(i / N);
      const state = finalState.subarray(2 * (Math.floor(row / T) * C * N + i)).subarray(0, 2);
      if (resets?.[row]) state.fill(0);
      const radius = Math.exp(logLambda[2 * i]!);
      const [re, im] = [radius * Math.cos(logLambda[2 * i + 1]!), radius * Math.sin(logLambda[2 * i + 1]!)];
      const [x, y] = [state[0]!, state[1]!];
      state[0] = re * x - im * y + u[row * width + c]!;
      state[1] = re * y + im * x + (complex ? u[row * width + C + c]! : 0);
      const [p, q] = [w[2 * i]!, w[2 * i + 1]!];
      output[row * width + c]! += p * state[0] - q * state[1];
      if (complex) output[row * width + C + c]! += p * state[1] + q * state[0];
    }
  }
  return { output, finalState };
}
