import { test } from 'uvu';
import { checkRecurrence, randomNormal, randomUniform, tolerances } from '../../testing/index.js';
import { mesa } from './index.js';

interface Case {
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

const cases: readonly Case[] = [
  { B: 1, T: 1, H: 1, K: 1, V: 1, g: [-1, 0] },
  { B: 2, T: 63, H: 3, K: 5, V: 19, g: [-0.5, 0] },
  { B: 1, T: 200, H: 1, K: 16, V: 7, g: [-1e-3, -1e-4] },
  { B: 1, T: 70, H: 1, K: 33, V: 8, g: [-20, -1e-4] },
  { B: 2, T: 80, H: 2, K: 6, V: 9, g: [-1, 0], starts: [0, 1, 2, 31, 64, 77] },
  { B: 1, T: 70, H: 1, K: 18, V: 5, g: [-1e-3, 0], starts: [35], lengths: [1, 3, 66] },
];

for (const [seed, { B, T, H, K, V, g, starts, lengths }] of cases.entries()) {
  const name = `B=${B} T=${T} H=${H} K=${K} V=${V} g ${g}${starts ? ', packed' : ''}`;
  test(`mesa ~> ${name}`, async () => {
    const resets = starts ? new Int32Array(B * T) : null;
    for (let b = 0; b < B; b++) for (const t of starts ?? []) resets![b * T + Math.min(t + b, T - 1)] = 1;
    const keys = (seed: number) => unitRows(randomNormal(B * T * H * K, seed), K);
    await checkRecurrence({
      name,
      op: mesa,
      inputs: {
        q: { values: keys(1 + seed), shape: [B, T, H, K], role: 'token' },
        k: { values: keys(2 + seed), shape: [B, T, H, K], role: 'token' },
        v: { values: randomNormal(B * T * H * V, 3 + seed), shape: [B, T, H, V], role: 'token' },
        beta: { values: randomUniform(B * T * H, 4 + seed, 0, 1), shape: [B, T, H], role: 'token' },
        g: { values: randomUniform(B * T * H, 5 + seed, ...g), shape: [B, T, H], role: 'token' },
        lambda: { values: randomUniform(H * K, 6 + seed, 0.25, 2), shape: [H, K], role: 'shared' },
      },
      resets,
      h0: incomingState(B * H, K, V, 7 + seed),
      f32Tolerance: tolerances.f32Decay,
      maxElements: T > 100 ? 6 : 10,
      ...(lengths && { lengths }),
    });
  });
}

function unitRows(values: Float64Array, length: number): Float64Array {
  return values.map((value, i) => {
    const row = values.subarray(i - (i % length), i - (i % length) + length);
    return value / Math.hypot(...row);
  });
}

/** States as a run of tokens leaves them: Hkk is a sum of k kᵀ. */
function incomingState(numHeads: number, K: number, V: number, seed: number): Float64Array {
  const factors = randomNormal(numHeads * K * K, seed, K ** -0.5);
  const state = randomNormal(numHeads * (K + V) * K, seed + 1);
  for (let head = 0; head < numHeads; head++) {
    const key = (i: number, p: number) => factors[(head * K + i) * K + p]!;
    for (let i = 0; i < K; i++) {
      for (let x = 0; x < K; x++) {
        let sum = 0;
        for (let p = 0; p < K; p++) sum += key(i, p) * key(x, p);
        state[(head * (K + V) + i) * K + x] = sum;
      }
    }
  }
  return state;
}

test.run();
