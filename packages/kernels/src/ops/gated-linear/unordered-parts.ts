import type { ForwardCall } from '../../autograd/define-op.js';
import type { Tensor } from '../../tensor.js';

/** The three products of tokens in any order with a state [B, H, V, K]. */
export interface UnorderedParts {
  /** `factor · Σ_t v_t k_tᵀ`, of k [B, T, G, K] and v [B, T, H, V]. */
  outerSum(call: ForwardCall, k: Tensor, v: Tensor, factor: number): Tensor;
  /** `factor · S q_t`, [B, T, H, V] of q [B, T, G, K]. */
  readByKeys(call: ForwardCall, q: Tensor, state: Tensor, factor: number): Tensor;
  /** `factor · Sᵀ v_t`, [B, T, H, K] of v [B, T, H, V]; `k`: any tensor [B, T, G, K]. */
  readByValues(call: ForwardCall, v: Tensor, k: Tensor, state: Tensor, factor: number): Tensor;
}
