import type { RecurrenceInputs } from '../../recurrence-op.js';
import type { Tensor } from '../../tensor.js';

/** The decay a of S = a S + …: none, one per token and head, one per key channel. */
export type DeltaGate = 'none' | 'scalar' | 'diagonal';
/** What a row reads of the old state: `key`, k of the decayed one; `own`, b of the undecayed one; `dplr`, that, and e writes it. */
export type DeltaErase = 'key' | 'own' | 'dplr';
/** The axis of the state that q is contracted with. */
export type DeltaRead = 'key' | 'value';

// The numbers of the enums in delta_rule.h.
export const gateCodes: Readonly<Record<DeltaGate, number>> = { none: 0, scalar: 1, diagonal: 2 };
export const eraseCodes: Readonly<Record<DeltaErase, number>> = { key: 0, own: 1, dplr: 2 };
export const readCodes: Readonly<Record<DeltaRead, number>> = { key: 0, value: 1 };

/** With n = `rowsPerToken`, of which a token's decay acts before the first and its output is taken after the last. */
export interface DeltaRuleInputs extends RecurrenceInputs {
  /** [B, T, H, K]; read by value [B, T, H, V] */
  readonly q: Tensor;
  /** [B, T, H, K], for n > 1 [B, T, n, H, K] */
  readonly k: Tensor;
  /** [B, T, H, V], for n > 1 [B, T, n, H, V] */
  readonly v: Tensor;
  /** [B, T, H], for n > 1 [B, T, n, H]: a factor of the k that is written; null: 1. */
  readonly beta: Tensor | null;
  /** Log decay, <= 0: scalar [B, T, H], diagonal [B, T, H, K]. */
  readonly g: Tensor | null;
  /** Like k: what `own` and `dplr` read. */
  readonly b: Tensor | null;
  /** Like k: where `dplr` writes what was read. */
  readonly e: Tensor | null;
}
