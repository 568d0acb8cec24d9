import type { RecurrenceInputs, RecurrenceOp } from '../recurrence-op.js';
import { type Tensor, zeros } from '../tensor.js';
import { forwardCall } from './define-op.js';

/** What surrounds a recurrence on one device. */
export interface RecurrenceState {
  /** i32 [B, T], 1 where a document starts; null: one document. */
  readonly resets: Tensor | null;
  /** The state that enters, [B, H, V, K]; null: zero. */
  readonly h0: Tensor | null;
}

/**
 * A recurrence over a whole sequence on one device: the output [B, T, H, V] and the state after it [B, H, V, K].
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
  const prepared = op.prepare(call, inputs, resets, h0);
  const output = op.finish(call, inputs, resets, prepared, null);
  const finalState = prepared.summary.state;
  const sources = h0 === null ? tensors : [...tensors, h0];
  if (device.tape !== null && sources.some((tensor) => tensor.requiresGrad)) {
    device.tape.record({
      name: op.name,
      inputs: sources,
      outputs: [output, finalState],
      saved: resets === null ? sources : [...sources, resets],
      backward: ([outputGradient, stateGradient]) => {
        const gradient = outputGradient ?? zeros(device, output.shape, output.dtype);
        const partial = op.prepareBackward(call, inputs, resets, h0, gradient);
        const wantIncoming = h0?.requiresGrad ?? false;
        const result = op.finishBackward(
          call,
          inputs,
          resets,
          partial,
          gradient,
          stateGradient ?? null,
          wantIncoming,
        );
        return [...names.map((name) => result.gradients[name] ?? null), result.incoming];
      },
    });
  }
  return { output, finalState };
}
