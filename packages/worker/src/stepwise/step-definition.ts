import type { RecurrenceInputs, Tensor } from '@longscan/kernels';

/** A recurrence given by what one token does. B sequences, T tokens, H heads. */
export interface StepDefinition<I extends RecurrenceInputs = RecurrenceInputs> {
  /** Appears in error messages. */
  readonly name: string;
  /**
   * What is claimed of `step`: that a row of the state (N numbers) becomes M · row + e, each row by itself, M the same for
   * all rows of a head, and what M is; or nothing (`opaque`), which runs under `ring` only. The conformance suite finds
   * a wrong claim; a training step does not look.
   */
  readonly transition: 'identity' | 'scalar' | 'diagonal' | 'dense' | 'opaque';
  /**
   * Claims that an output is affine in the state that its token meets, which runs in both directions (`model.objective =
   * "masked"`) rest on. Left out: such jobs refuse it.
   */
  readonly affineOutput?: true;
  /** Rows and numbers of a row, [R, N], of one head's state. */
  stateShape(inputs: I): readonly [rows: number, columns: number];
  /**
   * One token: state [B, H, R, N] and each input's [B, H, …] to the next state and an output [B, H, …]. Written with
   * differentiable ops, a pure function of its arguments.
   */
  step(state: Tensor, token: I): { readonly state: Tensor; readonly output: Tensor };
}
