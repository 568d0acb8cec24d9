import type { RecurrenceInputs, RecurrenceOp, Tensor } from '@longscan/kernels';
import type { LayerContext } from '../../layer.js';

/** A recurrence as a layer called it. */
export interface RecurrenceCall {
  readonly op: RecurrenceOp;
  readonly inputs: RecurrenceInputs;
  readonly output: Tensor;
}

/** A context that also notes the recurrences that go through it. */
export function noting(context: LayerContext, calls: RecurrenceCall[]): LayerContext {
  return {
    ...context,
    recurrence(op, inputs, meanwhile) {
      const output = context.recurrence(op, inputs, meanwhile);
      calls.push({ op: op as unknown as RecurrenceOp, inputs, output });
      return output;
    },
  };
}
