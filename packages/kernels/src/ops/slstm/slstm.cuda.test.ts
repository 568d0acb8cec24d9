import { test } from 'uvu';
import { testOnGpu } from '../../testing/gpu.js';
import { checkRecurrenceOnGpu, documentStarts, randomNormal, randomUniform } from '../../testing/index.js';
import { slstm } from './index.js';

interface Case {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly N: number;
  /** Range of the input and forget gates, before their nonlinearities. */
  readonly gates: readonly [number, number];
  readonly starts?: readonly number[];
  readonly lengths?: readonly number[];
}

const cases: readonly Case[] = [
  { B: 1, T: 1, H: 1, N: 1, gates: [-1, 1] },
  { B: 2, T: 37, H: 3, N: 5, gates: [-2, 2] },
  { B: 1, T: 70, H: 1, N: 33, gates: [-20, 20] },
  { B: 1, T: 60, H: 2, N: 16, gates: [5, 8] },
  { B: 2, T: 50, H: 2, N: 7, gates: [-1, 1], starts: [0, 1, 2, 31, 47] },
  { B: 1, T: 150, H: 2, N: 128, gates: [-1, 3], starts: [71], lengths: [1, 64, 85] },
  { B: 1, T: 20, H: 1, N: 256, gates: [-1, 1] },
];

for (const [seed, { B, T, H, N, gates, starts, lengths }] of cases.entries()) {
  const name = `B=${B} T=${T} H=${H} N=${N} gates ${gates}${starts ? ', packed' : ''}`;
  const size = B * T * H * 4 * N;
  const exponents = randomUniform(size, 1 + seed, ...gates);
  const values = randomNormal(size, 2 + seed).map((value, at) =>
    Math.floor(at / N) % 4 < 2 ? exponents[at]! : value,
  );
  // c, n > 0, m and h, as a run of tokens leaves them.
  const h0 = randomNormal(B * H * 4 * N, 4 + seed).map((value, at) =>
    Math.floor(at / N) % 4 === 1 ? 1 + Math.abs(value) : value,
  );
  for (const dtype of ['f32', 'bf16'] as const) {
    testOnGpu(`slstm ~> ${name}, ${dtype}`, (device) =>
      checkRecurrenceOnGpu(
        device,
        {
          name,
          op: slstm,
          inputs: {
            gates: { values, shape: [B, T, H, 4, N], role: 'token' },
            recurrent: {
              values: randomNormal(H * N * 4 * N, 3 + seed, N ** -0.5),
              shape: [H, N, 4, N],
              role: 'shared',
            },
          },
          resets: documentStarts(B, T, starts),
          h0,
          ...(lengths && { lengths }),
        },
        { dtype, typed: ['gates'], decays: [] },
      ),
    );
  }
}

test.run();
