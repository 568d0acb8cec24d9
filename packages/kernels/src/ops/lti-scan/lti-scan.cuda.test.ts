import { test } from 'uvu';
import { testOnGpu } from '../../testing/gpu.js';
import { checkRecurrenceOnGpu, documentStarts, randomNormal, randomUniform } from '../../testing/index.js';
import { ltiScan } from './index.js';

interface Case {
  readonly B: number;
  readonly T: number;
  readonly C: number;
  readonly N: number;
  /** Range of the log decays; angles lie in [-3, 3] times `turn`. */
  readonly decays: readonly [number, number];
  readonly turn: number;
  readonly starts?: readonly number[];
}

const cases: readonly Case[] = [
  { B: 1, T: 1, C: 1, N: 1, decays: [-1, 0], turn: 1 },
  { B: 2, T: 63, C: 19, N: 5, decays: [-0.5, -0.01], turn: 1 },
  { B: 1, T: 1001, C: 17, N: 3, decays: [-1e-3, -1e-4], turn: 0.1 },
  { B: 1, T: 129, C: 50, N: 2, decays: [-20, -1e-4], turn: 1 },
  { B: 3, T: 200, C: 33, N: 1, decays: [-0.5, -0.001], turn: 1, starts: [0, 1, 2, 31, 64, 127, 128, 199] },
  { B: 1, T: 900, C: 40, N: 32, decays: [-0.5, -0.001], turn: 1, starts: [400] },
  { B: 1, T: 70, C: 3, N: 200, decays: [-0.5, -0.01], turn: 1 },
];

for (const signal of ['real', 'complex'] as const) {
  for (const [i, { B, T, C, N, decays, turn, starts }] of cases.entries()) {
    const name = `${signal} B=${B} T=${T} C=${C} N=${N} decays ${decays}${starts ? ', packed' : ''}`;
    const width = signal === 'complex' ? 2 * C : C;
    const radii = randomUniform(C * N, 3 + i, ...decays);
    const angles = randomUniform(C * N, 4 + i, -3 * turn, 3 * turn);
    const logLambda = Float64Array.from({ length: 2 * C * N }, (_, j) => {
      return (j % 2 === 0 ? radii : angles)[Math.floor(j / 2)]!;
    });
    for (const dtype of ['f32', 'bf16'] as const) {
      testOnGpu(`lti-scan ~> ${name}, ${dtype}`, (device) =>
        checkRecurrenceOnGpu(
          device,
          {
            name,
            op: ltiScan(signal),
            inputs: {
              u: { role: 'token', values: randomNormal(B * T * width, 1 + i), shape: [B, T, width] },
              logLambda: { role: 'shared', values: logLambda, shape: [C, N, 2] },
              w: { role: 'shared', values: randomNormal(2 * C * N, 2 + i), shape: [C, N, 2] },
            },
            resets: documentStarts(B, T, starts),
          },
          { dtype, typed: ['u'], decays: ['logLambda'] },
        ),
      );
    }
  }
}

test.run();
