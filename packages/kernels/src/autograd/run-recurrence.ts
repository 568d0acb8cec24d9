import type { RecurrenceInputs, RecurrenceOp } from '../recurrence-op.js';
import { type Tensor, zeros } from '../tensor.js';
import { forwardCall } from './define-op.js';

/** What surrounds a recurrence on one device. */
export interface RecurrenceState {
  /** i32 [B, T], 1 where a document starts; null: one document. */
  readonly resets: Tensor | null;
  /** The state that enters, [B, H, R, N]; null: zero. */
  readonly h0: Tensor | null;
}

/**
 * A recurrence over a whole sequence on one device: the output [B, T, …] and the state after it [B, H, R, N].
 * Gradients reach every input, `h0`, and come from both results.
 */
export function runRecurrence<I extends RecurrenceInputs>(
  op: RecurrenceOp<I>,
  inputs: I,
  { resets, h0 }: RecurrenceState,
): { output: Tensor; finalState: Tensor } {
  const names = (Object.keys(inputs) as (keyof I & string)[]).filter((name) => inputs[name] !== null);
  const tensors: Tensor[] = names.map((name) => inputs[name]!);
  const device = tensors[0]!.device;
  const call = forwardCall(device);
  const { output, finalState, kept } = op.forward(call, inputs, resets, h0);
  const sources = h0 === null ? tensors : [...tensors, h0];
  if (device.tape !== null && sources.some((tensor) => tensor.requiresGrad)) {
    device.tape.record({
      name: op.name,
      inputs: sources,
      outputs: [output, finalState],
      saved: [...sources, resets, ...Object.values(kept)].filter((tensor) => tensor !== null),
      backward: ([outputGradient, stateGradient]) => {
        const gradient = outputGradient ?? zeros(device, output.shape, output.dtype);
        const record = { kept, incoming: h0 };
        const prepared = op.prepareBackward(call, inputs, resets, record, gradient);
        const result = op.finishBackward(
          call,
          inputs,
          resets,
          record,
          prepared,
          gradient,
          stateGradient ?? null,
          h0?.requiresGrad ?? false,
        );
        return [...names.map((name) => result.gradients[name] ?? null), result.incoming];
      },
    });
  }
  return { output, finalState };
}
