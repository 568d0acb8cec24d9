import type { ForwardCall } from './autograd/define-op.js';
import type { Kept, RecurrenceInputs, RecurrenceOp } from './recurrence-op.js';
import type { Tensor } from './tensor.js';

/** What of a recurrence touches a device. */
export type RecurrenceParts<I extends RecurrenceInputs> = Pick<
  RecurrenceOp<I>,
  'forward' | 'prepare' | 'summarize' | 'finish' | 'summarizeBackward' | 'prepareBackward' | 'finishBackward'
>;

/**
 * Bytes of the tensors that kernels for GPUs keep of a slice, alone or between others, from its forward to its backward
 * pass; by name, which is that of what is kept elsewhere in their place if anything is.
 */
export type KeptOnGpu<I extends RecurrenceInputs> = (
  call: ForwardCall,
  inputs: I,
  resets: Tensor | null,
  isAlone: boolean,
) => Readonly<Record<string, number>>;

/**
 * A recurrence that is cut differently on a GPU, where one sweep more costs less than keeping what the last one made. A shape
 * device that stands for one is cut as `elsewhere`, since only a GPU's kernels know all that they work with, and keeps what
 * these do.
 */
export function partsByDevice<I extends RecurrenceInputs>(
  elsewhere: RecurrenceParts<I>,
  onGpu: RecurrenceParts<I>,
  keptOnGpu: KeptOnGpu<I> = () => ({}),
): RecurrenceParts<I> {
  const partsOf = ({ device }: ForwardCall): RecurrenceParts<I> =>
    device.kind === 'cuda' ? onGpu : elsewhere;
  const keeping = <R extends { readonly kept: Kept }>(
    call: ForwardCall,
    result: R,
    ...slice: [inputs: I, resets: Tensor | null, isAlone: boolean]
  ): R =>
    call.device.standsForGpu
      ? { ...result, kept: keptInstead(call, result.kept, keptOnGpu(call, ...slice)) }
      : result;
  return {
    forward: (call, inputs, resets, ...rest) =>
      keeping(call, partsOf(call).forward(call, inputs, resets, ...rest), inputs, resets, true),
    prepare: (call, ...rest) => partsOf(call).prepare(call, ...rest),
    summarize: (call, ...rest) => partsOf(call).summarize(call, ...rest),
    finish: (call, inputs, resets, ...rest) =>
      keeping(call, partsOf(call).finish(call, inputs, resets, ...rest), inputs, resets, false),
    summarizeBackward: (call, ...rest) => partsOf(call).summarizeBackward(call, ...rest),
    prepareBackward: (call, ...rest) => partsOf(call).prepareBackward(call, ...rest),
    finishBackward: (call, ...rest) => partsOf(call).finishBackward(call, ...rest),
  };
}

function keptInstead(call: ForwardCall, kept: Kept, bytes: Readonly<Record<string, number>>): Kept {
  const names = Object.keys(bytes);
  for (const name of names) if (kept[name]) call.device.letGo(kept[name]);
  return { ...kept, ...Object.fromEntries(names.map((name) => [name, call.empty([bytes[name]! / 4])])) };
}
