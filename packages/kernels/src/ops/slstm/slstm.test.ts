import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { HostTensor, RecurrenceOp } from '../../recurrence-op.js';
import { checkRecurrence, tolerances } from '../../testing/index.js';
import { type SlstmInputs, slstm } from './index.js';
import { type Case, problem } from './problem.js';

const cases: readonly Case[] = [
  { B: 1, T: 1, H: 1, N: 1, gates: [-1, 1] },
  { B: 2, T: 37, H: 3, N: 5, gates: [-2, 2] },
  { B: 1, T: 70, H: 1, N: 33, gates: [-20, 20] },
  { B: 1, T: 60, H: 2, N: 16, gates: [5, 8] },
  { B: 2, T: 50, H: 2, N: 7, gates: [-1, 1], starts: [0, 1, 2, 31, 47] },
  { B: 1, T: 40, H: 1, N: 18, gates: [-1, 3], starts: [21], lengths: [1, 3, 36] },
];

for (const [seed, shape] of cases.entries()) {
  const check = problem(shape, seed);
  const op = withFixedMaxima(check.inputs, check.resets, check.h0, shape.N);
  test(check.name, () =>
    checkRecurrence({ ...check, op, f32Tolerance: tolerances.f32Decay, maxElements: 10 }),
  );
}

test('slstm ~> refuses to be summarized', () => {
  assert.throws(() => slstm.summarize({} as never, {} as never, null, {}), /error\[E-STRATEGY\].*ring/);
});

/** The op with a reference in which m stays as it is at `inputs` and `h0`: a scale, to which the op gives no gradient. */
function withFixedMaxima(
  inputs: { readonly [K in keyof SlstmInputs]: HostTensor },
  resets: Int32Array | null,
  h0: Float64Array,
  N: number,
): RecurrenceOp<SlstmInputs> {
  const fixed = slstm.reference(inputs, resets, h0).finalState;
  const rowOf = (at: number) => Math.floor(at / N) % 4;
  return {
    ...slstm,
    reference(moved, _resets, state) {
      const start = state!.map((value, at) => (rowOf(at) === 2 ? h0[at]! : value));
      const { output, finalState } = slstm.reference(moved, resets, start);
      return {
        output,
        finalState: finalState.map((value, at) => {
          if (rowOf(at) === 2) return fixed[at]!;
          const m = at + (2 - rowOf(at)) * N;
          return rowOf(at) === 3 ? value : value * Math.exp(finalState[m]! - fixed[m]!);
        }),
      };
    },
  };
}

test.run();
