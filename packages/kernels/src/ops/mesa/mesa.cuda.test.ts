import { test } from 'uvu';
import { testOnGpu } from '../../testing/gpu.js';
import { checkRecurrenceOnGpu, documentStarts, randomNormal, randomUniform } from '../../testing/index.js';
import { mesa } from './index.js';

interface Case {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
  /** Range of the log decays. */
  readonly g: readonly [number, number];
  readonly starts?: readonly number[];
  readonly lengths?: readonly number[];
}

const cases: readonly Case[] = [
  { B: 1, T: 1, H: 1, K: 1, V: 1, g: [-1, 0] },
  { B: 2, T: 63, H: 3, K: 5, V: 19, g: [-0.5, 0] },
  { B: 1, T: 200, H: 1, K: 16, V: 7, g: [-1e-3, -1e-4] },
  { B: 1, T: 70, H: 1, K: 33, V: 8, g: [-20, -1e-4] },
  { B: 2, T: 80, H: 2, K: 6, V: 9, g: [-1, 0], starts: [0, 1, 2, 31, 64, 77] },
  { B: 1, T: 150, H: 1, K: 72, V: 66, g: [-0.1, 0], starts: [70], lengths: [1, 64, 85] },
];

for (const [seed, { B, T, H, K, V, g, starts, lengths }] of cases.entries()) {
  const name = `B=${B} T=${T} H=${H} K=${K} V=${V} g ${g}${starts ? ', packed' : ''}`;
  const rows = (seed: number) => unitRows(randomNormal(B * T * H * K, seed), K);
  for (const dtype of ['f32', 'bf16'] as const) {
    testOnGpu(`mesa ~> ${name}, ${dtype}`, (device) =>
      checkRecurrenceOnGpu(
        device,
        {
          name,
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
          h0: incomingState(B * H, K, V),
          ...(lengths && { lengths }),
        },
        { dtype, typed: ['q', 'k', 'v'], decays: ['g'] },
      ),
    );
  }
}

function unitRows(values: Float64Array, length: number): Float64Array {
  return values.map((value, i) => {
    const row = values.subarray(i - (i % length), i - (i % length) + length);
    return value / Math.hypot(...row);
  });
}

/** Hkk as many tokens of all directions leave it: near a multiple of 1. */
function incomingState(numHeads: number, K: number, V: number): Float64Array {
  return randomNormal(numHeads * (K + V) * K, 7).map((value, at) => {
    const [row, column] = [Math.floor(at / K) % (K + V), at % K];
    return row >= K ? value : row === column ? 1 : 0.5 / K;
  });
}

test.run();
