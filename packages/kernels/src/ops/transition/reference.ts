import type { TransitionKind } from '../../recurrence-op.js';

/** M of one segment, f64, shaped as `TransitionKind` says; reset [B] or null. */
export interface TransitionCase {
  readonly kind: Exclude<TransitionKind, 'opaque'>;
  readonly transposed: boolean;
  readonly factor: Float64Array | null;
  readonly rates: Float64Array | null;
  readonly reset: Float64Array | null;
}

/** The definition of `reset ? E : M S + E` on states [B, H, R, N], row by row. */
export function transitionReference(
  [B, H, R, N]: readonly [number, number, number, number],
  m: TransitionCase,
  E: Float64Array,
  S: Float64Array,
): Float64Array {
  const out = E.slice();
  for (let head = 0; head < B * H; head++) {
    if (m.reset?.[Math.floor(head / H)]) continue;
    for (let r = 0; r < R; r++) {
      const begin = (head * R + r) * N;
      out.set(mapRow(m, head, head % H, S.subarray(begin, begin + N), E.subarray(begin, begin + N)), begin);
    }
  }
  return out;
}

function mapRow(m: TransitionCase, head: number, h: number, s: Float64Array, e: Float64Array): Float64Array {
  const N = s.length;
  const f = (i: number, length: number) => m.factor![head * length + i]!;
  switch (m.kind) {
    case 'identity':
      return e.map((x, i) => x + s[i]!);
    case 'fixed-scalar':
    case 'scalar':
      return e.map((x, i) => x + f(0, 1) * s[i]!);
    case 'diagonal':
      return e.map((x, i) => x + f(i, N) * s[i]!);
    case 'exp-diagonal':
      return e.map((x, i) => x + Math.exp(m.rates![h * N + i]! * f(0, 1)) * s[i]!);
    case 'fixed-complex':
      return e.map((x, i) => {
        const [re, im] = [i - (i % 2), i - (i % 2) + 1];
        const fIm = m.transposed ? -f(im, N) : f(im, N);
        const product = i === re ? f(re, N) * s[re]! - fIm * s[im]! : f(re, N) * s[im]! + fIm * s[re]!;
        return x + product;
      });
    case 'dense':
      return e.map((x, i) => {
        let sum = x;
        for (let j = 0; j < N; j++) sum += s[j]! * (m.transposed ? f(i * N + j, N * N) : f(j * N + i, N * N));
        return sum;
      });
    case 'log-max': {
      const [mS, mE] = [s[N - 1]! + f(0, 1), e[N - 1]!];
      const top = Math.max(mS, mE);
      const weight = (log: number) => (log === Number.NEGATIVE_INFINITY ? 0 : Math.exp(log - top));
      return e.map((x, i) => (i === N - 1 ? top : weight(mE) * x + weight(mS) * s[i]!));
    }
  }
}
