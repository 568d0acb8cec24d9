import { copy, empty, fromArray, type RecurrenceInputs, swapAxes, type Tensor } from '@longscan/kernels';
import type { StepDefinition } from './step-definition.js';
import { reverseSweep, type Swept } from './sweeps.js';
import type { TokenSlice } from './token-slice.js';

/**
 * The factor of M (see `TransitionKind`), found by sending basis vectors back through the slice: what arrives is free of
 * E, while a difference of two forward runs would carry E's rounding. One reverse sweep finds R columns.
 */
export function probeFactor<I extends RecurrenceInputs>(
  definition: StepDefinition<I>,
  slice: TokenSlice<I>,
  { finalState, starts }: Swept,
): Tensor | null {
  const { transition } = definition;
  if (transition === 'identity' || transition === 'opaque') return null;
  const [B, H, R, N] = finalState.shape as [number, number, number, number];
  const heads = B * H;
  const { device, dtype, size, shape } = finalState;
  /** Sends rows back; what arrives, row first: [R, B·H, N]. */
  const sendBack = (valueAt: (row: number, column: number) => number): Tensor => {
    const values = Float64Array.from({ length: size }, (_, i) => valueAt(Math.floor(i / N) % R, i % N));
    const adjoint = reverseSweep(definition, slice, starts, null, fromArray(device, values, shape, dtype));
    return swapAxes(adjoint.view([heads, R, N]));
  };
  if (transition === 'diagonal') return sendBack(() => 1).view([B, H, N]);
  if (transition === 'scalar') return swapAxes(sendBack(() => 1).view([heads, N])).view([B, H]);
  // Row i of what arrives is row i of Fᵀ, with row' = row · F.
  const numSweeps = Math.ceil(N / R);
  const rows = empty(device, [numSweeps * R, heads, N], dtype);
  for (let sweep = 0; sweep < numSweeps; sweep++) {
    const found = sendBack((row, column) => Number(column === sweep * R + row));
    copy(found, rows.view(found.shape, sweep * found.size));
  }
  return swapAxes(rows.view([N, heads * N])).view([B, H, N, N]);
}
