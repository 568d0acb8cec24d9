import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { HostTensor, RecurrenceOp } from '../../recurrence-op.js';
import { checkRecurrence, randomNormal, randomUniform, tolerances } from '../../testing/index.js';
import { type SlstmInputs, slstm } from './index.js';

interface Case {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly N: number;
  /** Range of the input and forget gates, before their nonlinearities. */
  readonly gates: readonly [number, number];
  /** Tokens at which a document starts, in every batch row b shifted by b. */
  readonly starts?: readonly number[];
  readonly lengths?: readonly number[];
}

const cases: readonly Case[] = [
  { B: 1, T: 1, H: 1, N: 1, gates: [-1, 1] },
  { B: 2, T: 37, H: 3, N: 5, gates: [-2, 2] },
  { B: 1, T: 70, H: 1, N: 33, gates: [-20, 20] },
  { B: 1, T: 60, H: 2, N: 16, gates: [5, 8] },
  { B: 2, T: 50, H: 2, N: 7, gates: [-1, 1], starts: [0, 1, 2, 31, 47] },
  { B: 1, T: 40, H: 1, N: 18, gates: [-1, 3], starts: [21], lengths: [1, 3, 36] },
];

for (const [seed, { B, T, H, N, gates, starts, lengths }] of cases.entries()) {
  const name = `B=${B} T=${T} H=${H} N=${N} gates ${gates}${starts ? ', packed' : ''}`;
  test(`slstm ~> ${name}`, async () => {
    const resets = starts ? new Int32Array(B * T) : null;
    for (let b = 0; b < B; b++) for (const t of starts ?? []) resets![b * T + Math.min(t + b, T - 1)] = 1;
    const size = B * T * H * 4 * N;
    const exponents = randomUniform(size, 1 + seed, ...gates);
    const values = randomNormal(size, 2 + seed).map((value, at) =>
      Math.floor(at / N) % 4 < 2 ? exponents[at]! : value,
    );
    const weights = randomNormal(H * N * 4 * N, 3 + seed, N ** -0.5);
    const inputs = {
      gates: { values, shape: [B, T, H, 4, N], role: 'token' },
      recurrent: { values: weights, shape: [H, N, 4, N], role: 'shared' },
    } as const;
    // c, n > 0, m and h, as a run of tokens leaves them.
    const h0 = randomNormal(B * H * 4 * N, 4 + seed).map((value, at) =>
      Math.floor(at / N) % 4 === 1 ? 1 + Math.abs(value) : value,
    );
    await checkRecurrence({
      name,
      op: withFixedMaxima(inputs, resets, h0, N),
      inputs,
      resets,
      h0,
      f32Tolerance: tolerances.f32Decay,
      maxElements: 10,
      ...(lengths && { lengths }),
    });
  });
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
