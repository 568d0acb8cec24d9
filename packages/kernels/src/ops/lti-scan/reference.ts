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
  for (let i = 0; i < B * C * N; i++) {
    const mode = i % (C * N);
    const channel = Math.floor(mode / N);
    const [logRadius, angle] = [logLambda[2 * mode]!, logLambda[2 * mode + 1]!];
    const [re, im] = [Math.exp(logRadius) * Math.cos(angle), Math.exp(logRadius) * Math.sin(angle)];
    const [p, q] = [w[2 * mode]!, w[2 * mode + 1]!];
    let [x, y] = [finalState[2 * i]!, finalState[2 * i + 1]!];
    for (let t = 0; t < T; t++) {
      const row = Math.floor(i / (C * N)) * T + t;
      if (resets?.[row]) [x, y] = [0, 0];
      const input = u[row * width + channel]!;
      [x, y] = [re * x - im * y + input, re * y + im * x + (complex ? u[row * width + C + channel]! : 0)];
      output[row * width + channel]! += p * x - q * y;
      if (complex) output[row * width + C + channel]! += p * y + q * x;
    }
    finalState[2 * i] = x;
    finalState[2 * i + 1] = y;
  }
  return { output, finalState };
}
