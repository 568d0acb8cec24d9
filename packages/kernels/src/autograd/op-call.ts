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
  /** Whether there will be a backward pass, and for it is kept what it could make again for little. */
  readonly keepsCheap: boolean;
  empty(shape: readonly number[], dtype?: DType): Tensor;
}

/** What an op's backward rule works with. Convention: native functions overwrite (`=`) gradients unless they say so. */
export interface BackwardCall<I> extends ForwardCall {
  /** Which inputs want a gradient; work for the others can be left out. */
  readonly needs: Readonly<Record<keyof I, boolean>>;
  /**
   * Where the rule of an op that says so (`comesWith: 'gradients'`) writes the op's cheap output again, which may be the
   * memory of that output's gradient; null: nobody wants it.
   */
  readonly remade: Tensor | null;
  /**
   * The gradient of a weight. For a parameter `write(target, accumulate)` is put off until a scan is under way and adds to
   * the parameter's gradient, or begins it (null is returned); otherwise it runs now with `write(fresh, false)`.
   * `reads`: the tensors that `write` uses.
   */
  weightGradient(
    weight: Tensor,
    reads: readonly Tensor[],
    write: (target: Tensor, accumulate: boolean) => void,
  ): Tensor | null;
  /**
   * The gradient of the input `name`, of this shape, by a `write` that can add to what is there: where other ops have left
   * a gradient of the same tensor that nothing else holds, `write(that, true)` runs and null is returned; otherwise
   * `write(fresh, false)`, which overwrites. The rule gives the target to no other input and does not keep it.
   */
  inputGradient(
    name: keyof I & string,
    shape: readonly number[],
    write: (target: Tensor, accumulate: boolean) => void,
  ): Tensor | null;
}

/** Adds to a parameter's gradient, now or later. */
type Defer = (
  parameter: Tensor,
  reads: readonly Tensor[],
  write: (target: Tensor, accumulate: boolean) => void,
) => void;

/** What a tape does for a backward rule beside that. */
export interface CallOnTape {
  readonly sums: GradientSums;
  readonly remade: Tensor | null;
  /** Makes what may not be there yet. */
  ready(reads: readonly Tensor[]): void;
}

/** Where gradients of tensors that several ops read are added up. */
export interface GradientSums {
  /** What may be added to in place; null: there is nothing yet, or others hold it too. */
  find(tensor: Tensor): Tensor | null;
  /** Says that nothing but the gradient of one input will ever refer to a new tensor. */
  noteFresh(gradient: Tensor): void;
}

const noTape: CallOnTape = {
  sums: { find: () => null, noteFresh: () => undefined },
  remade: null,
  ready: () => undefined,
};

/** A backward rule's call; `defer` takes what adds to a parameter's gradient. */
export function backwardCall<I extends OpInputs>(
  call: ForwardCall,
  inputs: I,
  defer: Defer,
  { sums, remade, ready }: CallOnTape = noTape,
): BackwardCall<I> {
  return {
    ...call,
    remade,
    needs: needsOf(inputs),
    inputGradient(name, shape, write) {
      const input = inputs[name]!;
      const sum = sums.find(input);
      if (sum !== null) {
        write(sum, true);
        return null;
      }
      const target = call.empty(shape, input.dtype);
      write(target, false);
      sums.noteFresh(target);
      return target;
    },
    weightGradient(weight, reads, write) {
      if (weight.gradient === null) {
        ready(reads);
        const target = call.empty(weight.shape, weight.dtype);
        write(target, false);
        return target;
      }
      defer(weight, reads, write);
      return null;
    },
  };
}

function needsOf<I extends OpInputs>(inputs: I): BackwardCall<I>['needs'] {
  const needs: Record<string, boolean> = {};
  for (const name in inputs) needs[name] = inputs[name]?.requiresGrad ?? false;
  return needs as BackwardCall<I>['needs'];
}

/** The names of the inputs that are there, in order. */
export function presentNames<I extends OpInputs>(inputs: I): (keyof I & string)[] {
  return (Object.keys(inputs) as (keyof I & string)[]).filter((name) => inputs[name] !== null);
}

export function forwardCall(device: Device): ForwardCall {
  return {
    device,
    native: device.native,
    stream: device.compute.id,
    keepsCheap: device.tape !== null && !device.remakesCheapOutputs,
    empty: (shape, dtype = 'f32') => empty(device, shape, dtype),
  };
}
