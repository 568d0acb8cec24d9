import { documentStarts, type RecurrenceCheck, randomNormal, randomUniform } from '../../testing/index.js';
import { type MesaInputs, mesa } from './index.js';

// What the tests of this op, on CPU and GPU, are made of.

export interface Case {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
  /** Range of the log decays. */
  readonly g: readonly [number, number];
  /** Tokens at which a document starts, in every batch row b shifted by b. */
  readonly starts?: readonly number[];
  readonly lengths?: readonly number[];
}

/** What `checkRecurrence` wants to know of one shape, but for the incoming state; `seed` makes its inputs. */
export function problem(
  { B, T, H, K, V, g, starts, lengths }: Case,
  seed: number,
): RecurrenceCheck<MesaInputs> {
  const rows = (seed: number) => unitRows(randomNormal(B * T * H * K, seed), K);
  return {
    name: `mesa ~> B=${B} T=${T} H=${H} K=${K} V=${V} g ${g}${starts ? ', packed' : ''}`,
    op: mesa,
    inputs: {
      q: { values: rows(1 + seed), shape: [B, T, H, K], role: 'token' },
      k: { values: rows(2 + seed), shape: [B, T, H, K], role: 'token' },
      v: { values: randomNormal(B * T * H * V, 3 + seed), shape: [B, T, H, V], role: 'token' },
      beta: { values: randomUniform(B * T * H, 4 + seed, 0, 1), shape: [B, T, H], role: 'token' },
      g: { values: randomUniform(B * T * H, 5 + seed, ...g), shape: [B, T, H], role: 'token' },
      lambda: { values: randomUniform(H * K, 6 + seed, 0.25, 2), shape: [H, K], role: 'shared' },
    },
    resets: documentStarts(B, T, starts),
    ...(lengths && { lengths }),
  };
}

function unitRows(values: Float64Array, length: number): Float64Array {
  return values.map((value, i) => {
    const row = values.subarray(i - (i % length), i - (i % length) + length);
    return value / Math.hypot(...row);
  });
}
