import {
  documentStarts,
  type RecurrenceCheck,
  type RecurrenceInput,
  randomNormal,
  randomUniform,
} from '../../testing/index.js';
import { type DeltaRuleInputs, type DeltaRuleOptions, deltaRule } from './index.js';

// What the tests of this op, on CPU and GPU, are made of.

export interface Case {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
  /** Range of the log decays. */
  readonly gates: readonly [number, number];
  /** Tokens at which a document starts, in every batch row b shifted by b. */
  readonly starts?: readonly number[];
}

/** Everything that `checkRecurrence` wants to know of one kind at one shape; `seed` makes its inputs. */
export function problem(
  options: DeltaRuleOptions,
  shape: Case,
  seed: number,
): RecurrenceCheck<DeltaRuleInputs> {
  const { B, T, H, K, V, gates, starts } = shape;
  return {
    name: `${JSON.stringify(options)} B=${B} T=${T} H=${H} K=${K} V=${V} gates ${gates}${starts ? ', packed' : ''}`,
    op: deltaRule(options),
    inputs: inputsOf(options, shape, seed),
    resets: documentStarts(B, T, starts),
  };
}

/** Rows of length one (at most `length`), as a layer hands in keys. */
function unitRows(size: number, rowSize: number, seed: number, length = 1): Float64Array {
  const values = randomNormal(size, seed);
  for (let row = 0; row < size; row += rowSize) {
    const norm = Math.hypot(...values.subarray(row, row + rowSize));
    for (let i = row; i < row + rowSize; i++) values[i]! *= length / norm;
  }
  return values;
}

/** A share of each number of the keys, as Comba's layer hands them in: what is erased shrinks, and states stay bounded. */
function eraseRows(size: number, K: number, keySeed: number, seed: number): Float64Array {
  const shares = randomUniform(size, seed, 0.2, 1);
  return unitRows(size, K, keySeed).map((key, i) => key * shares[i]!);
}

function inputsOf(options: DeltaRuleOptions, { B, T, H, K, V, gates }: Case, seed: number) {
  const { gate = 'none', erase = 'key', read = 'key', rowsPerToken: n = 1 } = options;
  const rows = n === 1 ? [B, T, H] : [B, T, n, H];
  const input = (shape: number[], make: (size: number) => Float64Array): RecurrenceInput => ({
    shape,
    values: make(shape.reduce((a, b) => a * b, 1)),
    role: 'token',
  });
  const querySize = read === 'key' ? K : V;
  return {
    q: input([B, T, H, querySize], (size) => randomNormal(size, seed)),
    k: input([...rows, K], (size) => unitRows(size, K, seed + 1)),
    v: input([...rows, V], (size) => randomNormal(size, seed + 2)),
    beta: erase === 'dplr' ? null : input(rows, (size) => randomUniform(size, seed + 3, 0, 1.9)),
    g:
      gate === 'none'
        ? null
        : input(gate === 'scalar' ? [B, T, H] : [B, T, H, K], (size) =>
            randomUniform(size, seed + 4, ...gates),
          ),
    b:
      erase === 'key'
        ? null
        : input([...rows, K], (size) =>
            erase === 'own' ? eraseRows(size, K, seed + 1, seed + 5) : unitRows(size, K, seed + 5, 0.9),
          ),
    e: erase === 'dplr' ? input([...rows, K], (size) => unitRows(size, K, seed + 6, 0.9)) : null,
  };
}
