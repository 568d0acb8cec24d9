import { chunkStarts } from './ops/document-positions/index.js';
import type { RecurrenceInputs, RecurrenceOp } from './recurrence-op.js';
import type { Tensor } from './tensor.js';

/** i32 [B, T], within the document. */
export interface WithPositions {
  readonly positions: Tensor;
}

/**
 * The recurrence `op`, forgetting its state at the first token of every chunk of so many tokens, counted within the
 * document. That includes the first token of a document, so the resets of documents need not be looked at.
 */
export function restarting<I extends RecurrenceInputs>(
  op: RecurrenceOp<I>,
  chunk: number,
): RecurrenceOp<I & WithPositions> {
  const starts = ({ positions }: WithPositions) => chunkStarts(positions, chunk);
  return {
    name: `${op.name}, restarting`,
    transition: op.transition,
    ...(op.shared && { shared: op.shared }),
    causalOnly: 'a state that is forgotten at chunks counted from the start of the document',
    stateShape: (inputs) => op.stateShape(inputs),
    forward: (call, inputs, _resets, h0) => op.forward(call, inputs, starts(inputs), h0),
    prepare: (call, inputs) => op.prepare(call, inputs, starts(inputs)),
    summarize: (call, inputs, _resets, prepared) => op.summarize(call, inputs, starts(inputs), prepared),
    finish: (call, inputs, _resets, ...rest) => op.finish(call, inputs, starts(inputs), ...rest),
    summarizeBackward: (call, inputs, _resets, ...rest) =>
      op.summarizeBackward(call, inputs, starts(inputs), ...rest),
    prepareBackward: (call, inputs, _resets, ...rest) =>
      op.prepareBackward(call, inputs, starts(inputs), ...rest),
    finishBackward: (call, inputs, _resets, ...rest) =>
      op.finishBackward(call, inputs, starts(inputs), ...rest),
    reference(inputs, _resets, h0) {
      const { values } = inputs.positions!;
      return op.reference(
        inputs,
        Int32Array.from(values, (position) => Number(position % chunk === 0)),
        h0,
      );
    },
  };
}
