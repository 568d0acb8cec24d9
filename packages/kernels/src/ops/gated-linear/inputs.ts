import type { RecurrenceInputs } from '../../recurrence-op.js';
import type { Tensor } from '../../tensor.js';

/** The decay a_t of S_t = a_t S_{t-1} + k_t v_tᵀ: none, fixed per head, one per token and head, one per channel. */
export type DecayKind = 'identity' | 'fixed-scalar' | 'scalar' | 'diagonal';

/** The numbers of `Decay` in gated_linear.h. */
export const decayCodes: Readonly<Record<DecayKind, number>> = {
  identity: 0,
  'fixed-scalar': 1,
  scalar: 2,
  diagonal: 3,
};

export interface GatedLinearInputs extends RecurrenceInputs {
  /** [B, T, H, K], or [B, T, G, K] for G groups of H / G heads in succession that share their queries. */
  readonly q: Tensor;
  /** Like q. */
  readonly k: Tensor;
  /** [B, T, H, V] */
  readonly v: Tensor;
  /** Log decay, <= 0: identity null; fixed-scalar [H]; scalar [B, T, H]; diagonal [B, T, H, K]. */
  readonly g: Tensor | null;
}

export interface BonusLinearInputs extends GatedLinearInputs {
  /** What a token reads of itself, [H, K]. */
  readonly u: Tensor;
}
