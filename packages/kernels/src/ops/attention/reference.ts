/** Sizes of a call, as in `attention`. */
export interface AttentionSizes {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly S: number;
  readonly G: number;
  readonly K: number;
  readonly V: number;
  readonly scale: number;
  readonly keyOffset: number;
  /** 0: none. */
  readonly window: number;
  /** 0: none. */
  readonly chunk: number;
}

export interface AttentionValues {
  readonly q: Float64Array;
  readonly k: Float64Array;
  readonly v: Float64Array;
  readonly kSelf?: Float64Array;
  readonly vSelf?: Float64Array;
}

/** Which keys query t sees, by walking back through its document. */
function keysInSight(
  { keyOffset, window, chunk }: AttentionSizes,
  position: number,
  t: number,
  numAfter: number,
): number[] {
  const index = keyOffset + t;
  const keys: number[] = [];
  for (let ahead = 1; ahead <= numAfter; ahead++)
    if (window === 0 || ahead < window) keys.push(index + ahead);
  for (let back = position; back >= 0; back--) {
    if (chunk > 0) {
      const p = position - back;
      const isEarlierEnd = p % chunk === chunk - 1 && Math.floor(p / chunk) < Math.floor(position / chunk);
      if (isEarlierEnd) keys.push(Math.floor((index - back) / chunk));
    } else if (window === 0 || back < window) {
      keys.push(index - back);
    }
  }
  return keys;
}

/**
 * The definition, query by query: o = Σ_j softmax_j(scale · q · k_j) v_j over the keys in sight; o [B, T, H, V].
 * `positions` [B, T]: tokens of the same document before each query's; `after`: those after it that it sees too.
 */
export function attentionReference(
  sizes: AttentionSizes,
  { q, k, v, kSelf, vSelf }: AttentionValues,
  positions: ArrayLike<number>,
  after: ArrayLike<number> | null = null,
): Float64Array {
  const { B, T, H, S, G, K, V, scale } = sizes;
  const o = new Float64Array(B * T * H * V);
  for (let b = 0; b < B; b++) {
    for (let t = 0; t < T; t++) {
      const keys = keysInSight(sizes, positions[b * T + t]!, t, after?.[b * T + t] ?? 0);
      for (let h = 0; h < H; h++) {
        const g = Math.floor(h / (H / G));
        const at = (b * T + t) * H + h;
        const row = (from: Float64Array, index: number, size: number) =>
          from.subarray(index * size, (index + 1) * size);
        const query = row(q, at, K);
        const pairs = keys.map((j) => {
          const index = (b * S + j) * G + g;
          return { key: row(k, index, K), value: row(v, index, V) };
        });
        if (kSelf && vSelf) {
          const index = (b * T + t) * G + g;
          pairs.push({ key: row(kSelf, index, K), value: row(vSelf, index, V) });
        }
        const scores = pairs.map(({ key }) => scale * query.reduce((sum, x, i) => sum + x * key[i]!, 0));
        const top = Math.max(...scores);
        const total = scores.reduce((sum, score) => sum + Math.exp(score - top), 0);
        pairs.forEach(({ value }, j) => {
          const weight = Math.exp(scores[j]! - top) / total;
          for (let i = 0; i < V; i++) o[at * V + i]! += weight * value[i]!;
        });
      }
    }
  }
  return o;
}
