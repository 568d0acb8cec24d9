import { documentStarts, type RecurrenceCheck, randomNormal, randomUniform } from '../../testing/index.js';
import { type SelectiveScanInputs, selectiveScan } from './index.js';

// What the tests of this op, on CPU and GPU, are made of.

export interface Case {
  readonly B: number;
  readonly T: number;
  readonly D: number;
  readonly N: number;
  /** Range of the step sizes; rates lie in [-4, -0.5]. */
  readonly steps: readonly [number, number];
  readonly starts?: readonly number[];
}

/** Everything that `checkRecurrence` wants to know of one shape; `seed` makes its inputs. */
export function problem(
  { B, T, D, N, steps, starts }: Case,
  seed: number,
): RecurrenceCheck<SelectiveScanInputs> {
  return {
    name: `selective-scan ~> B=${B} T=${T} D=${D} N=${N} steps ${steps}${starts ? ', packed' : ''}`,
    op: selectiveScan,
    inputs: {
      x: { role: 'token', values: randomNormal(B * T * D, 1 + seed), shape: [B, T, D] },
      delta: { role: 'token', values: randomUniform(B * T * D, 2 + seed, ...steps), shape: [B, T, D] },
      A: { role: 'shared', values: randomUniform(D * N, 3 + seed, -4, -0.5), shape: [D, N] },
      B: { role: 'token', values: randomNormal(B * T * N, 4 + seed), shape: [B, T, N] },
      C: { role: 'token', values: randomNormal(B * T * N, 5 + seed), shape: [B, T, N] },
    },
    resets: documentStarts(B, T, starts),
  };
}
