/** One call, f64, row-major: x, g [B, T, C]; h0 [B, C]. */
export interface VectorScanCall {
  readonly B: number;
  readonly T: number;
  readonly C: number;
  readonly resets: ArrayLike<number> | null;
}

/** The definition, token by token: h = reset ? 0 : h; h = exp(g_t) h + x_t. Returns h [B, T, C] and the last [B, C]. */
export function vectorScanReference(
  { B, T, C, resets }: VectorScanCall,
  x: Float64Array,
  g: Float64Array,
  h0: Float64Array | null,
): { output: Float64Array; finalState: Float64Array } {
  const output = new Float64Array(B * T * C);
  const finalState = h0 === null ? new Float64Array(B * C) : h0.slice();
  for (let b = 0; b < B; b++) {
    for (let c = 0; c < C; c++) {
      let h = finalState[b * C + c]!;
      for (let t = 0; t < T; t++) {
        const i = (b * T + t) * C + c;
        h = (resets?.[b * T + t] ? 0 : Math.exp(g[i]!) * h) + x[i]!;
        output[i] = h;
      }
      finalState[b * C + c] = h;
    }
  }
  return { output, finalState };
}
