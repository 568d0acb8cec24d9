import type { ForwardCall } from './autograd/define-op.js';
import type { RecurrenceInputs, RecurrenceOp } from './recurrence-op.js';

/** What of a recurrence touches a device. */
export type RecurrenceParts<I extends RecurrenceInputs> = Pick<
  RecurrenceOp<I>,
  'forward' | 'prepare' | 'summarize' | 'finish' | 'summarizeBackward' | 'prepareBackward' | 'finishBackward'
>;

/** A recurrence that is cut differently on a GPU, where one sweep more costs less than keeping what the last one made. */
export function partsByDevice<I extends RecurrenceInputs>(
  elsewhere: RecurrenceParts<I>,
  onGpu: RecurrenceParts<I>,
): RecurrenceParts<I> {
  const partsOf = ({ device }: ForwardCall): RecurrenceParts<I> =>
    device.kind === 'cuda' ? onGpu : elsewhere;
  return {
    forward: (call, ...rest) => partsOf(call).forward(call, ...rest),
    prepare: (call, ...rest) => partsOf(call).prepare(call, ...rest),
    summarize: (call, ...rest) => partsOf(call).summarize(call, ...rest),
    finish: (call, ...rest) => partsOf(call).finish(call, ...rest),
    summarizeBackward: (call, ...rest) => partsOf(call).summarizeBackward(call, ...rest),
    prepareBackward: (call, ...rest) => partsOf(call).prepareBackward(call, ...rest),
    finishBackward: (call, ...rest) => partsOf(call).finishBackward(call, ...rest),
  };
}
