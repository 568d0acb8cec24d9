/** One call, f64, row-major: gates [B, T, H, 4, N]; recurrent [H, N, 4, N]; h0 [B, H, 4, N] or null: no token yet. */
export interface SlstmCall {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly N: number;
  readonly resets: Int32Array | null;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/**
 * The definition, token by token and without a stabiliser (xLSTM, equations 8 to 14): with i, f, z, o = gates + h R,
 * c = σ(f) c + e^i tanh z, n = σ(f) n + e^i, h = σ(o) c / n. Returns h [B, T, H, N] and the last state [B, H, 4, N],
 * whose c and n are scaled by exp(-m) for the running maximum m (equation 15) that they end with.
 */
export function slstmReference(
  { B, T, H, N, resets }: SlstmCall,
  gates: Float64Array,
  recurrent: Float64Array,
  h0: Float64Array | null,
): { output: Float64Array; finalState: Float64Array } {
  const output = new Float64Array(B * T * H * N);
  const finalState = new Float64Array(B * H * 4 * N);
  for (let head = 0; head < B * H; head++) {
    const h = head % H;
    const start = h0?.subarray(head * 4 * N, (head + 1) * 4 * N) ?? null;
    const row = (r: number) => Array.from({ length: N }, (_, x) => start?.[r * N + x] ?? 0);
    const m = start ? row(2) : new Array<number>(N).fill(Number.NEGATIVE_INFINITY);
    const c = row(0).map((value, x) => (value === 0 ? 0 : value * Math.exp(m[x]!)));
    const n = row(1).map((value, x) => (value === 0 ? 0 : value * Math.exp(m[x]!)));
    let hidden = row(3);
    for (let t = 0; t < T; t++) {
      const token = Math.floor(head / H) * T + t;
      const at = token * H + h;
      if (resets?.[token]) {
        for (const values of [c, n, hidden]) values.fill(0);
        m.fill(Number.NEGATIVE_INFINITY);
      }
      const sum = (gate: number, x: number): number =>
        hidden.reduce(
          (total, value, from) => total + value * recurrent[((h * N + from) * 4 + gate) * N + x]!,
          gates[(at * 4 + gate) * N + x]!,
        );
      hidden = hidden.map((_, x) => {
        const [i, f, z, o] = [sum(0, x), sum(1, x), sum(2, x), sum(3, x)];
        m[x] = Math.max(Math.log(sigmoid(f)) + m[x]!, i);
        c[x] = sigmoid(f) * c[x]! + Math.exp(i) * Math.tanh(z);
        n[x] = sigmoid(f) * n[x]! + Math.exp(i);
        return (sigmoid(o) * c[x]!) / n[x]!;
      });
      output.set(hidden, at * N);
    }
    for (let x = 0; x < N; x++) {
      const scale = Math.exp(-m[x]!);
      finalState.set([c[x]! * scale], (head * 4 + 0) * N + x);
      finalState.set([n[x]! * scale], (head * 4 + 1) * N + x);
      finalState.set([m[x]!], (head * 4 + 2) * N + x);
      finalState.set([hidden[x]!], (head * 4 + 3) * N + x);
    }
  }
  return { output, finalState };
}
