import {
  appendOnes,
  concatLast,
  gatedLinear,
  normalizeLast,
  splitLast,
  type Tensor,
} from '@longscan/kernels';
import type { LayerContext } from '../layer.js';

// Any scale cancels in the quotient; 1 keeps the sums large against its epsilon.
const op = gatedLinear('identity', { scale: 1 });

/** q, k [B, T, H, F], features that have been mapped already; v [B, T, H, V]. */
export interface LinearInputs {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

/**
 * o_t = Σ_s (q_t·k_s) v_s / Σ_s (q_t·k_s). The normaliser is one more column of v, so it travels and is differentiated
 * with the state.
 */
export function normalizedLinear(inputs: LinearInputs, eps: number, context: LayerContext): Tensor {
  const { q, k, v } = inputs;
  return normalizeLast(context.recurrence(op, { q, k, v: appendOnes(v), g: null }), v.dim(-1), eps);
}

/**
 * The same with positions: o_t = Σ_s (R_t q_t · R_s k_s) v_s / Σ_s (q_t·k_s), R the rotations that `turn` applies. The
 * normaliser stays a sum of what is positive, so it has a recurrence of its own (RoFormer, arXiv 2104.09864, equation 19).
 */
export function rotatedLinear(
  { q, k, v }: LinearInputs,
  turn: (rows: Tensor) => Tensor,
  eps: number,
  context: LayerContext,
): Tensor {
  const V = v.dim(-1);
  const withOnes = appendOnes(v);
  const [, ones] = splitLast(withOnes, [V, withOnes.dim(-1) - V]) as [Tensor, Tensor];
  const sum = context.recurrence(op, { q: turn(q), k: turn(k), v, g: null });
  const normalizer = context.recurrence(op, { q, k, v: ones, g: null });
  return normalizeLast(concatLast([sum, normalizer]), V, eps);
}
