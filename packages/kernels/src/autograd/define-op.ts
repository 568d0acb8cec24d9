import type { Device } from '../device.js';
import type { Native } from '../native.js';
import { type DType, empty, type Tensor } from '../tensor.js';

/** Named inputs of an op; null for one that was left out. */
export type OpInputs = Readonly<Record<string, Tensor | null>>;

/** What an op's forward rule works with. */
export interface ForwardCall {
  readonly device: Device;
  readonly native: Native;
  /** The compute stream's number, first argument of every native call. */
  readonly stream: number;
  empty(shape: readonly number[], dtype?: DType): Tensor;
}

/** What an op's backward rule works with. Convention: native functions overwrite (`=`) gradients unless they say so. */
export interface BackwardCall<I> extends ForwardCall {
  /** Which inputs want a gradient; work for the others can be left out. */
  readonly needs: Readonly<Record<keyof I, boolean>>;
  /**
   * The gradient of a weight. For a parameter `write(target, true)` is put off until a scan is under way and adds to
   * the parameter's gradient (null is returned); otherwise it runs now with `write(fresh, false)`, which overwrites.
   * `reads`: the tensors that `write` uses.
   */
  weightGradient(
    weight: Tensor,
    reads: readonly Tensor[],
    write: (target: Tensor, accumulate: boolean) => void,
  ): Tensor | null;
}

export interface OpDefinition<I extends OpInputs, A, S extends OpInputs> {
  readonly name: string;
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
    const names = Object.keys(inputs) as (keyof I & string)[];
    const present = names.filter((name) => inputs[name] !== null);
    const tensors = present.map((name) => inputs[name]!);
    const device = tensors[0]!.device;
    const call = forwardCall(device);
    const { output, save } = definition.forward(call, inputs, attributes);
    const tape = device.tape;
    if (tape === null || !tensors.some((tensor) => tensor.requiresGrad)) return output;
    const needs = Object.fromEntries(names.map((name) => [name, inputs[name]?.requiresGrad ?? false]));
    tape.record({
      name: definition.name,
      inputs: tensors,
      outputs: [output],
      saved: Object.values(save).filter((tensor) => tensor !== null),
      backward: ([gradient]) => {
        const backwardCall: BackwardCall<I> = {
          ...call,
          needs: needs as Record<keyof I, boolean>,
          weightGradient(weight, reads, write) {
            if (weight.gradient === null) {
              const target = call.empty(weight.shape, weight.dtype);
              write(target, false);
              return target;
            }
            const target = weight.gradient;
            tape.defer(reads, () => write(target, true));
            return null;
          },
        };
        const results = definition.backward(backwardCall, save, gradient!, attributes);
        return present.map((name) => results[name] ?? null);
      },
    });
    return output;
  };
}

export function forwardCall(device: Device): ForwardCall {
  return {
    device,
    native: device.native,
    stream: device.compute.id,
    empty: (shape, dtype = 'f32') => empty(device, shape, dtype),
  };
}
