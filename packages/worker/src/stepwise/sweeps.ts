import { copy, type Device, empty, fill, type RecurrenceInputs, type Tensor, where } from '@longscan/kernels';
import type { StepDefinition } from './step-definition.js';
import type { Token, TokenSlice } from './token-slice.js';

/** Steps on one tape: what a backward pass holds at a time, whatever the length of the slice. */
const pieceLength = 32;

/** A state that starts as `from`, or zero. */
export function stateFrom(
  device: Device,
  shape: readonly number[],
  from: Tensor | null,
  like: Tensor,
): Tensor {
  const state = empty(device, shape, like.dtype);
  if (from === null) fill(state, 0);
  else copy(from, state);
  return state;
}

/**
 * Steps through a slice. `state` is overwritten by the state after it. Returns the outputs, token first: [T, B, H, …].
 * `visit` sees the state before each token.
 */
export function sweep<I extends RecurrenceInputs>(
  definition: StepDefinition<I>,
  slice: TokenSlice<I>,
  state: Tensor,
  visit?: (t: number) => void,
): Tensor {
  const { device } = state;
  let outputs: Tensor | null = null;
  for (let t = 0; t < slice.length; t++) {
    visit?.(t);
    outputs = device.scope(() => {
      const { state: next, output } = stepOn(definition, slice.token(t), state);
      const all: Tensor = outputs ?? empty(device, [slice.length, ...output.shape], output.dtype);
      copy(output, all.view(output.shape, t * output.size));
      copy(next, state);
      return all;
    });
  }
  return outputs!;
}

/**
 * Differentiates a slice that began with the state `from`. Returns the adjoint of `from`; the gradients of the inputs
 * gather in `slice`, if it wants them.
 *
 * @param outputGradient token first, [T, B, H, …]; null: zero
 * @param outgoing adjoint of the state after the slice; null: zero
 */
export function reverseSweep<I extends RecurrenceInputs>(
  definition: StepDefinition<I>,
  slice: TokenSlice<I>,
  from: Tensor,
  outputGradient: Tensor | null,
  outgoing: Tensor | null,
): Tensor {
  const { device, shape, size, dtype } = from;
  const numPieces = Math.ceil(slice.length / pieceLength);
  const starts = empty(device, [numPieces, ...shape], dtype);
  const startOf = (piece: number) => starts.view(shape, piece * size);
  device.scope(() => {
    const state = stateFrom(device, shape, from, from);
    sweep(definition, slice, state, (t) => {
      if (t % pieceLength === 0) copy(state, startOf(t / pieceLength));
    });
  });
  const adjoint = stateFrom(device, shape, outgoing, from);
  for (let piece = numPieces - 1; piece >= 0; piece--) {
    const begin = piece * pieceLength;
    const end = Math.min(begin + pieceLength, slice.length);
    device.scope(() => {
      // Made here, since the gradients of leaves must outlive the scope of the steps.
      const tokens = Array.from({ length: end - begin }, (_, i) => slice.token(begin + i));
      const leaf = startOf(piece);
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
  return definition.step(entering, inputs);
}
