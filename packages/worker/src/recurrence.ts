import {
  type Communicator,
  forwardCall,
  type RecurrenceInputs,
  type RecurrenceOp,
  type Tensor,
} from '@longscan/kernels';
import type { Strategy, StrategyOptions } from './strategy.js';

/** The ranks that hold the slices of one sequence, and how states cross them. */
export interface SequenceGroup {
  readonly communicator: Communicator;
  readonly strategy: Strategy;
  readonly options: StrategyOptions;
}

export interface RecurrenceOptions {
  /** Null: this rank holds the whole sequence. */
  readonly group: SequenceGroup | null;
  /** i32 [B, T], 1 where a document starts; null: one document. */
  readonly resets: Tensor | null;
  /** What does not feed the recurrence: enqueued while the state is under way. */
  readonly meanwhile?: (() => void) | undefined;
}

/**
 * A recurrence over a sequence whose slices lie on the ranks of `group`: the only place where op, segment and strategy
 * meet. Returns this slice's output [B, T, H, V]. One forward scan now and one reverse scan in the backward pass; the
 * incoming state is kept, so nothing is communicated twice.
 */
export function recurrence<I extends RecurrenceInputs>(
  op: RecurrenceOp<I>,
  inputs: I,
  { group, resets, meanwhile }: RecurrenceOptions,
): Tensor {
  const names = (Object.keys(inputs) as (keyof I & string)[]).filter((name) => inputs[name] !== null);
  const tensors: Tensor[] = names.map((name) => inputs[name]!);
  const { device } = tensors[0]!;
  const call = forwardCall(device);

  const prepared = op.prepare(call, inputs, resets, null);
  const segment = op.summarize(call, prepared);
  const pending = group?.strategy.start(segment, group.communicator, 'forward', group.options);
  meanwhile?.();
  const incoming = pending?.wait() ?? null;
  const output = op.finish(call, inputs, resets, prepared, incoming);

  const { tape } = device;
  if (tape === null || !tensors.some((tensor) => tensor.requiresGrad)) return output;
  const kept = [resets, incoming, segment.factor, segment.reset].filter((tensor) => tensor !== null);
  tape.record({
    name: op.name,
    inputs: tensors,
    outputs: [output],
    saved: [...tensors, ...kept],
    backward: ([gradient]) => {
      const dO = gradient!;
      const adjoint = group && {
        ...segment,
        state: op.summarizeBackward(call, inputs, resets, dO),
      };
      const reverse = group?.strategy.start(adjoint!, group.communicator, 'reverse', group.options);
      const partial = op.prepareBackward(call, inputs, resets, incoming, dO);
      tape.flushDeferred();
      const outgoing = reverse?.wait() ?? null;
      const { gradients } = op.finishBackward(call, inputs, resets, partial, dO, outgoing, false);
      return names.map((name) => gradients[name] ?? null);
    },
  });
  return output;
}
