import { test } from 'uvu';
import {
  checkRecurrence,
  documentStarts,
  type RecurrenceInput,
  randomNormal,
  randomUniform,
  tolerances,
} from '../../testing/index.js';
import { type DeltaRuleOptions, deltaRule } from './index.js';

interface Case {
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

const kinds: readonly DeltaRuleOptions[] = [
  {},
  { gate: 'scalar' },
  { gate: 'diagonal' },
  { gate: 'scalar', erase: 'own' },
  { gate: 'diagonal', erase: 'dplr', scale: 1 },
  { erase: 'dplr' },
  { gate: 'scalar', rowsPerToken: 3 },
  { gate: 'diagonal', rowsPerToken: 2 },
  { gate: 'diagonal', read: 'value' },
  { gate: 'scalar', read: 'value', rowsPerToken: 2 },
];

const cases: readonly Case[] = [
  // Three rows: with K = 1 one that erases nearly all (β near 1) would leave only rounding to compare.
  { B: 3, T: 1, H: 1, K: 1, V: 1, gates: [-1, 0] },
  { B: 2, T: 63, H: 2, K: 5, V: 19, gates: [-0.5, 0] },
  { B: 1, T: 150, H: 1, K: 16, V: 9, gates: [-1e-3, -1e-4] },
  { B: 1, T: 67, H: 1, K: 33, V: 8, gates: [-20, -1e-4] },
  { B: 2, T: 140, H: 1, K: 7, V: 16, gates: [-1, 0], starts: [0, 1, 2, 31, 64, 100, 127] },
];

/** Rows of length one (at most `length`), as a layer hands in keys. */
function unitRows(size: number, rowSize: number, seed: number, length = 1): Float64Array {
  const values = randomNormal(size, seed);
  for (let row = 0; row < size; row += rowSize) {
    const norm = Math.hypot(...values.subarray(row, row + rowSize));
    for (let i = row; i < row + rowSize; i++) values[i]! *= length / norm;
  }
  return values;
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
    b: erase === 'key' ? null : input([...rows, K], (size) => unitRows(size, K, seed + 5, 0.9)),
    e: erase === 'dplr' ? input([...rows, K], (size) => unitRows(size, K, seed + 6, 0.9)) : null,
  };
}

for (const options of kinds) {
  for (const [i, shape] of cases.entries()) {
    const { B, T, H, K, V, gates, starts } = shape;
    const name = `${JSON.stringify(options)} B=${B} T=${T} H=${H} K=${K} V=${V} gates ${gates}${starts ? ', packed' : ''}`;
    test(`delta-rule ~> ${name}`, async () => {
      await checkRecurrence({
        name,
        op: deltaRule(options),
        inputs: inputsOf(options, shape, 10 * i),
        resets: documentStarts(B, T, starts),
        f32Tolerance: tolerances.f32Decay,
        maxElements: 6,
      });
    });
  }
}

test.run();
