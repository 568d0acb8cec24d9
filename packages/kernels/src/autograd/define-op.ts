import type { Tensor } from '../tensor.js';
import type { CheapOutput } from './cheap-outputs.js';
import {
  type BackwardCall,
  backwardCall,
  type ForwardCall,
  forwardCall,
  type OpInputs,
  presentNames,
} from './op-call.js';
import { runOverUnits } from './run-over-units.js';

export { type BackwardCall, type ForwardCall, forwardCall, type OpInputs } from './op-call.js';

interface OpTraits {
  readonly name: string;
  /**
   * In deterministic mode: `each` (default) runs unit by unit, `sum` too and its outputs are sums over tokens, `all` moves
   * no data and runs over all units at once.
   */
  readonly units?: 'each' | 'sum' | 'all';
  /** Names of what is saved that the backward rule reads for gradients of weights alone, by `weightGradient`. */
  readonly late?: readonly string[];
}

/** Gradients by input name; left out or null: none (or already accumulated). */
type InputGradients<I> = { readonly [K in keyof I]?: Tensor | null };

/** An op with one output. */
export interface OpDefinition<I extends OpInputs, A, S extends OpInputs> extends OpTraits {
  /** The output costs less to compute again, by `forward` from the same inputs, than to keep for those who read it. */
  readonly isCheap?: boolean;
  /** Of a cheap output, see `CheapOutput`: `gradients` where the backward rule writes it to `BackwardCall.remade`. */
  readonly comesWith?: CheapOutput['comesWith'];
  /** Checks shapes, enqueues, and says what the backward rule needs. */
  forward(call: ForwardCall, inputs: I, attributes: A): { readonly output: Tensor; readonly save: S };
  backward(call: BackwardCall<I>, saved: S, gradient: Tensor, attributes: A): InputGradients<I>;
}

/** An op with several outputs. One may be an input as it is; gradients of those that nothing has read are null. */
export interface SeveralOutputsDefinition<I extends OpInputs, A, S extends OpInputs> extends OpTraits {
  forward(
    call: ForwardCall,
    inputs: I,
    attributes: A,
  ): { readonly outputs: readonly Tensor[]; readonly save: S };
  backward(
    call: BackwardCall<I>,
    saved: S,
    gradients: readonly (Tensor | null)[],
    attributes: A,
  ): InputGradients<I>;
  /** An output that costs less to compute again than to keep for those who read it. */
  cheap?(inputs: I, outputs: readonly Tensor[], attributes: A): CheapOutput;
}

/** A differentiable function on tensors: records itself on the device's tape when a gradient can reach an input. */
export function defineOp<I extends OpInputs, A = Record<never, never>, S extends OpInputs = OpInputs>(
  definition: OpDefinition<I, A, S>,
): (inputs: I, attributes: A) => Tensor {
  const { name, units, late, isCheap, comesWith } = definition;
  const op = defineOpOfSeveral<I, A, S>({
    name,
    ...(units && { units }),
    ...(late && { late }),
    forward(call, inputs, attributes) {
      const { output, save } = definition.forward(call, inputs, attributes);
      return { outputs: [output], save };
    },
    backward: (call, saved, [gradient], attributes) =>
      definition.backward(call, saved, gradient!, attributes),
    ...(isCheap && {
      cheap: (inputs, [output], attributes) => ({
        output: output!,
        reads: tensorsIn(inputs),
        ...(comesWith && { comesWith }),
        make: () => definition.forward(forwardCall(output!.device), inputs, attributes).output,
      }),
    }),
  });
  return (inputs, attributes) => op(inputs, attributes)[0]!;
}

/** The same with several outputs. */
export function defineOpOfSeveral<
  I extends OpInputs,
  A = Record<never, never>,
  S extends OpInputs = OpInputs,
>(definition: SeveralOutputsDefinition<I, A, S>): (inputs: I, attributes: A) => readonly Tensor[] {
  return (inputs, attributes) => {
    const tensors = tensorsIn(inputs);
    const { device } = tensors[0]!;
    if (device.units !== null) return runOverUnits(definition, device.units, inputs, attributes);
    const { outputs: made, save } = definition.forward(forwardCall(device), inputs, attributes);
    // A tensor of its own for each: the tape tells gradients apart by it.
    const outputs = made.map((output) => (tensors.includes(output) ? output.view(output.shape) : output));
    const { tape } = device;
    if (tape === null || !tensors.some((tensor) => tensor.requiresGrad)) return outputs;
    tape.record({
      name: definition.name,
      inputs: tensors,
      outputs,
      ...(definition.cheap && { cheap: definition.cheap(inputs, outputs, attributes) }),
      saved: tensorsIn(save),
      late: (definition.late ?? []).flatMap((name) => save[name] ?? []),
      backward: (gradients, remade) => {
        const call = backwardCall<I>(
          forwardCall(device),
          inputs,
          (...parameter) => tape.deferGradient(...parameter),
          { sums: tape.sums, remade, ready: (reads) => tape.ready(reads) },
        );
        const results = definition.backward(call, save, gradients, attributes);
        return presentNames(inputs).map((name) => results[name] ?? null);
      },
    });
    return outputs;
  };
}

/** Those that are there. */
const tensorsIn = (named: OpInputs): Tensor[] => Object.values(named).filter((tensor) => tensor !== null);
