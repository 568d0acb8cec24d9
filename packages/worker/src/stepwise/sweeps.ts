import {
  copy,
  type Device,
  type DType,
  empty,
  expectShape,
  fill,
  type RecurrenceInputs,
  type Tensor,
  where,
} from '@longscan/kernels';
import type { StepDefinition } from './step-definition.js';
import type { Token, TokenSlice } from './token-slice.js';

/** Steps on one tape: what a backward pass holds at a time, whatever the length of the slice. */
const pieceLength = 32;

/** What stepping through a slice leaves. */
export interface Swept {
  /** Token first: [T, B, H, …]. */
  readonly outputs: Tensor;
  /** [B, H, R, N] */
  readonly finalState: Tensor;
  /** The states before each piece, where a backward pass starts again: [pieces, B, H, R, N]. */
  readonly starts: Tensor;
}

/** Steps through a slice from a state of `shape`; null: zero. */
export function sweep<I extends RecurrenceInputs>(
  definition: StepDefinition<I>,
  slice: TokenSlice<I>,
  shape: readonly number[],
  from: Tensor | null,
): Swept {
  const { device, dtype } = slice;
  const state = stateFrom(device, shape, dtype, from);
  const starts = empty(device, [Math.ceil(slice.length / pieceLength), ...shape], dtype);
  let outputs: Tensor | null = null;
  for (let t = 0; t < slice.length; t++) {
    outputs = device.scope(() => {
      if (t % pieceLength === 0) copy(state, starts.view(shape, (t / pieceLength) * state.size));
      const { state: next, output } = stepOn(definition, slice.token(t), state);
      const all: Tensor = outputs ?? empty(device, [slice.length, ...output.shape], output.dtype);
      copy(output, all.view(output.shape, t * output.size));
      copy(next, state);
      return all;
    });
  }
  return { outputs: outputs!, finalState: state, starts };
}

/**
 * Differentiates a slice, given the `starts` of its sweep. Returns the adjoint of the state that entered it; the gradients
 * of the inputs gather in `slice`, if it wants them.
 *
 * @param outputGradient token first, [T, B, H, …]; null: zero
 * @param outgoing adjoint of the state after the slice; null: zero
 */
export function reverseSweep<I extends RecurrenceInputs>(
  definition: StepDefinition<I>,
  slice: TokenSlice<I>,
  starts: Tensor,
  outputGradient: Tensor | null,
  outgoing: Tensor | null,
): Tensor {
  const { device } = starts;
  const [numPieces, ...shape] = starts.shape as [number, ...number[]];
  const adjoint = stateFrom(device, shape, starts.dtype, outgoing);
  for (let piece = numPieces - 1; piece >= 0; piece--) {
    const begin = piece * pieceLength;
    const end = Math.min(begin + pieceLength, slice.length);
    device.scope(() => {
      // Made here, since the gradients of leaves must outlive the scope of the steps.
      const tokens = Array.from({ length: end - begin }, (_, i) => slice.token(begin + i));
      const leaf = starts.view(shape, piece * adjoint.size);
      leaf.requiresGrad = true;
      const { result, tape } = device.record(() => device.scope(() => steps(definition, tokens, leaf)));
      const outputs = outputGradient === null ? [] : result.outputs;
      const seeds = outputs.map((output, i) => outputGradient!.view(output.shape, (begin + i) * output.size));
      const [gradient] = tape.backward([...outputs, result.state], [...seeds, adjoint], [leaf]);
      if (gradient === null || gradient === undefined) fill(adjoint, 0);
      else if (gradient !== adjoint) copy(gradient, adjoint);
    });
  }
  return adjoint;
}

function stateFrom(device: Device, shape: readonly number[], dtype: DType, from: Tensor | null): Tensor {
  const state = empty(device, shape, dtype);
  if (from === null) fill(state, 0);
  else copy(from, state);
  return state;
}

function steps<I extends RecurrenceInputs>(
  definition: StepDefinition<I>,
  tokens: readonly Token<I>[],
  from: Tensor,
): { outputs: Tensor[]; state: Tensor } {
  let state = from;
  const outputs: Tensor[] = [];
  for (const token of tokens) {
    const next = stepOn(definition, token, state);
    outputs.push(next.output);
    state = next.state;
  }
  return { outputs, state };
}

/** A document start forgets the state by selection: nothing of it, NaN included, goes on. */
function stepOn<I extends RecurrenceInputs>(
  definition: StepDefinition<I>,
  { inputs, reset }: Token<I>,
  state: Tensor,
): { readonly state: Tensor; readonly output: Tensor } {
  const entering = reset === null ? state : where({ condition: reset, a: null, b: state });
  const next = definition.step(entering, inputs);
  expectShape(`recurrence ${definition.name}, step`, 'the next state', next.state, state.shape);
  return next;
}
