import { activationReference } from '../pointwise/reference.js';
import { l2NormReference } from '../rms-norm/reference.js';

interface Sizes {
  readonly T: number;
  readonly D: number;
  readonly W: number;
}

interface Values {
  readonly x: Float64Array;
  readonly weight: Float64Array;
  readonly bias?: Float64Array;
  /** [B, W - 1, D] */
  readonly halo?: Float64Array;
}

/**
 * The definition, tap by tap: going back from each token until its document's first token, or (with a halo) W - 1 tokens
 * before the first one at hand.
 */
export function causalConvReference(
  { x, weight, bias, halo }: Values,
  { T, D, W }: Sizes,
  resets: Int32Array | null,
): Float64Array {
  const value = (b: number, t: number, d: number): number =>
    t >= 0 ? x[(b * T + t) * D + d]! : (halo?.[(b * (W - 1) + W - 1 + t) * D + d] ?? 0);
  return x.map((_, i) => {
    const d = i % D;
    const t = Math.floor(i / D) % T;
    const b = Math.floor(i / D / T);
    let y = bias?.[d] ?? 0;
    for (let back = 0; back < W; back++) {
      y += weight[d * W + W - 1 - back]! * value(b, t - back, d);
      if (t - back >= 0 && resets?.[b * T + t - back]) break;
    }
    return y;
  });
}

/** The same through SiLU, each head of `size` channels scaled to length one. */
export function unitConvReference(
  values: Values,
  sizes: Sizes,
  resets: Int32Array | null,
  { size, eps }: { size: number; eps: number },
): Float64Array {
  const activated = causalConvReference(values, sizes, resets).map(activationReference.silu);
  return l2NormReference(activated, size, eps);
}
