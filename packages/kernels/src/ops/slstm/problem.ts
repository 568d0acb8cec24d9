import { documentStarts, type RecurrenceCheck, randomNormal, randomUniform } from '../../testing/index.js';
import { type SlstmInputs, slstm } from './index.js';

// What the tests of this op, on CPU and GPU, are made of.

export interface Case {
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

/** Everything that `checkRecurrence` wants to know of one shape; `seed` makes its inputs. */
export function problem({ B, T, H, N, gates, starts, lengths }: Case, seed: number) {
  const size = B * T * H * 4 * N;
  const exponents = randomUniform(size, 1 + seed, ...gates);
  const values = randomNormal(size, 2 + seed).map((value, at) =>
    Math.floor(at / N) % 4 < 2 ? exponents[at]! : value,
  );
  const weights = randomNormal(H * N * 4 * N, 3 + seed, N ** -0.5);
  return {
    name: `slstm ~> B=${B} T=${T} H=${H} N=${N} gates ${gates}${starts ? ', packed' : ''}`,
    op: slstm,
    inputs: {
      gates: { values, shape: [B, T, H, 4, N], role: 'token' },
      recurrent: { values: weights, shape: [H, N, 4, N], role: 'shared' },
    },
    resets: documentStarts(B, T, starts),
    // c, n > 0, m and h, as a run of tokens leaves them.
    h0: randomNormal(B * H * 4 * N, 4 + seed).map((value, at) =>
      Math.floor(at / N) % 4 === 1 ? 1 + Math.abs(value) : value,
    ),
    ...(lengths && { lengths }),
  } satisfies RecurrenceCheck<SlstmInputs>;
}
