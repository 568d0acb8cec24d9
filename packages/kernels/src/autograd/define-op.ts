import type { Tensor } from '../tensor.js';
import {
  type BackwardCall,
  backwardCall,
  type ForwardCall,
  forwardCall,
  needsOf,
  type OpInputs,
  presentNames,
} from './op-call.js';
import { runOverUnits } from './run-over-units.js';

export { type BackwardCall, type ForwardCall, forwardCall, type OpInputs } from './op-call.js';

export interface OpDefinition<I extends OpInputs, A, S extends OpInputs> {
  readonly name: string;
  /**
   * In deterministic mode: `each` (default) runs unit by unit, `sum` too and its output is a sum over tokens, `all` moves
   * no data and runs over all units at once.
   */
  readonly units?: 'each' | 'sum' | 'all';
  /** The output costs less to compute again, by `forward` from the same inputs, than to keep for those who read it. */
  readonly isCheap?: boolean;
  /** Checks shapes, enqueues, and says what the backward rule needs. */
  forward(call: ForwardCall, inputs: I, attributes: A): { readonly output: Tensor; readonly save: S };
  /** Gradients by input name; left out or null: none (or already accumulated). */
  backward(
    call: BackwardCall<I>,
    saved: S,
    gradient: Tensor,
    attributes: A,
  ): { readonly [K in keyof I]?: Tensor | null };
}

/** A differentiable function on tensors: records itself on the device's tape when a gradient can reach an input. */
export function defineOp<I extends OpInputs, A = Record<never, never>, S extends OpInputs = OpInputs>(
  definition: OpDefinition<I, A, S>,
): (inputs: I, attributes: A) => Tensor {
  return (inputs, attributes) => {
    const tensors = Object.values(inputs).filter((tensor) => tensor !== null);
    const { device } = tensors[0]!;
    if (device.units !== null) return runOverUnits(definition, device.units, inputs, attributes);
    const { output, save } = definition.forward(forwardCall(device), inputs, attributes);
    const { tape } = device;
    if (tape === null || !tensors.some((tensor) => tensor.requiresGrad)) return output;
    const needs = needsOf(inputs);
    const make = () => definition.forward(forwardCall(device), inputs, attributes).output;
    tape.record({
      name: definition.name,
      inputs: tensors,
      outputs: [output],
      ...(definition.isCheap && { cheap: { output, reads: tensors, make } }),
      saved: Object.values(save).filter((tensor) => tensor !== null),
      backward: ([gradient]) => {
        const call = backwardCall<I>(forwardCall(device), needs, (parameter, reads, write) =>
          tape.defer(reads, () => write(parameter.gradient!, true)),
        );
        const results = definition.backward(call, save, gradient!, attributes);
        return presentNames(inputs).map((name) => results[name] ?? null);
      },
    });
    return output;
  };
}
