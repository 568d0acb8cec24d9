import { documentStarts, type RecurrenceCheck, randomNormal, randomUniform } from '../../testing/index.js';
import { type MlstmInputs, mlstm } from './index.js';

// What the tests of this op, on CPU and GPU, are made of.

export interface Case {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
  /** Ranges of the log gates. */
  readonly i: readonly [number, number];
  readonly f: readonly [number, number];
  /** Range of the incoming states' m; default: they are empty. */
  readonly m?: readonly [number, number];
  /** Tokens at which a document starts, in every batch row b shifted by b. */
  readonly starts?: readonly number[];
  readonly lengths?: readonly number[];
}

/** Everything that `checkRecurrence` wants to know of one shape; `seed` makes its inputs. */
export function problem({ B, T, H, K, V, i, f, m, starts, lengths }: Case, seed: number) {
  // Queries and keys point the same way, so that n · q is not the small difference of large terms.
  const positive = (size: number, seed: number) => randomNormal(size, seed).map(Math.abs);
  const stateSize = (V + 1) * (K + 1);
  const maxima = randomUniform(B * H, 6 + seed, ...(m ?? [0, 1]));
  return {
    name: `mlstm ~> B=${B} T=${T} H=${H} K=${K} V=${V} i ${i} f ${f}${starts ? ', packed' : ''}`,
    op: mlstm(),
    inputs: {
      q: { values: positive(B * T * H * K, 1 + seed), shape: [B, T, H, K], role: 'token' },
      k: { values: positive(B * T * H * K, 2 + seed), shape: [B, T, H, K], role: 'token' },
      v: { values: randomNormal(B * T * H * V, 3 + seed), shape: [B, T, H, V], role: 'token' },
      i: { values: randomUniform(B * T * H, 4 + seed, ...i), shape: [B, T, H], role: 'token' },
      f: { values: randomUniform(B * T * H, 5 + seed, ...f), shape: [B, T, H], role: 'token' },
    },
    resets: documentStarts(B, T, starts),
    h0: positive(B * H * stateSize, 7 + seed).map((value, at) => {
      const isMaximum = at % (K + 1) === K;
      if (!m) return isMaximum ? Number.NEGATIVE_INFINITY : 0;
      return isMaximum ? maxima[Math.floor(at / stateSize)]! : value;
    }),
    ...(lengths && { lengths }),
  } satisfies RecurrenceCheck<MlstmInputs>;
}
