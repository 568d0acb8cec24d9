import {
  forwardCall,
  type RecurrenceInputs,
  type RecurrenceOp,
  type Tensor,
  wideType,
} from '@longscan/kernels';
import { refuseTransition } from '../strategy-support.js';
import type { CarriedCall } from './carry.js';
import type { Received } from './received.js';
import { recordRecurrence } from './record-recurrence.js';
import type { SequenceGroup } from './sequence-group.js';

interface SerialOptions {
  readonly group: SequenceGroup;
  readonly resets: Tensor | null;
  readonly received: Received;
  readonly carried?: CarriedCall | undefined;
  readonly meanwhile?: (() => void) | undefined;
}

/**
 * A recurrence that is not affine in its state, over the ranks of `group`: each rank runs its slice when the state has
 * come to it, so no two ranks compute at once. Only a strategy that is a plain chain can do that.
 * @throws LongscanError E-STRATEGY under any other
 */
export function serialRecurrence<I extends RecurrenceInputs>(
  op: RecurrenceOp<I>,
  inputs: I,
  { group, resets, received, carried, meanwhile }: SerialOptions,
): Tensor {
  const { strategy, communicator } = group;
  const { serial } = strategy;
  if (serial === undefined) throw refuseTransition(strategy.name, op.transition, op.name);
  const names = (Object.keys(inputs) as (keyof I & string)[]).filter((name) => inputs[name] !== null);
  const tensors: Tensor[] = names.map((name) => inputs[name]!);
  const { device } = tensors[0]!;
  const dtype = wideType(tensors[0]!.dtype); // of states
  const call = forwardCall(device);
  const shape = op.stateShape(inputs);

  meanwhile?.();
  const turn = serial(communicator, 'forward');
  const incoming = received.next(() => turn.receive(device, shape, dtype) ?? carried?.entering ?? null);
  const { output, finalState, kept } = op.forward(call, inputs, resets, incoming);
  if (!received.isReplay) turn.handOn(finalState);
  carried?.leave(shape, dtype, () => finalState);

  recordRecurrence({
    ...{ name: op.name, inputs: tensors, output },
    saved: [...tensors, resets, incoming, ...Object.values(kept)],
    backward(dO, flush) {
      const record = { kept, incoming };
      const prepared = op.prepareBackward(call, inputs, resets, record, dO);
      flush();
      const reverse = serial(communicator, 'reverse');
      const adjoint = reverse.receive(device, shape, dtype);
      const result = op.finishBackward(call, inputs, resets, record, prepared, dO, adjoint, true);
      reverse.handOn(result.incoming!);
      return names.map((name) => result.gradients[name] ?? null);
    },
  });
  return output;
}
