import { appendOnes, gatedLinear, normalizeLast, type Tensor } from '@longscan/kernels';
import type { LayerContext } from '../layer.js';

// Any scale cancels in the quotient; 1 keeps the sums large against its epsilon.
const op = gatedLinear('identity', { scale: 1 });

/**
 * o_t = Σ_s (q_t·k_s) v_s / Σ_s (q_t·k_s) for features q, k [B, T, H, F] that have been mapped already and v [B, T, H, V].
 * The normaliser is one more column of v, so it travels and is differentiated with the state.
 */
export function normalizedLinear(
  inputs: { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor },
  eps: number,
  context: LayerContext,
): Tensor {
  const { q, k, v } = inputs;
  return normalizeLast(context.recurrence(op, { q, k, v: appendOnes(v), g: null }), eps);
}
