import { documentStarts, type RecurrenceCheck, randomNormal, randomUniform } from '../../testing/index.js';
import { type LtiScanInputs, ltiScan } from './index.js';

// What the tests of this op, on CPU and GPU, are made of.

export interface Case {
  readonly B: number;
  readonly T: number;
  readonly C: number;
  readonly N: number;
  /** Range of the log decays; angles lie in [-3, 3] times `turn`. */
  readonly decays: readonly [number, number];
  readonly turn: number;
  readonly starts?: readonly number[];
}

/** Everything that `checkRecurrence` wants to know of one shape; `seed` makes its inputs. */
export function problem(
  signal: 'real' | 'complex',
  { B, T, C, N, decays, turn, starts }: Case,
  seed: number,
): RecurrenceCheck<LtiScanInputs> {
  const width = signal === 'complex' ? 2 * C : C;
  const radii = randomUniform(C * N, 3 + seed, ...decays);
  const angles = randomUniform(C * N, 4 + seed, -3 * turn, 3 * turn);
  // Rounded to f32: what an angle loses there, thousands of tokens multiply, and that is not the kernel's error.
  const logLambda = Float64Array.from(
    Float32Array.from({ length: 2 * C * N }, (_, j) => (j % 2 === 0 ? radii : angles)[Math.floor(j / 2)]!),
  );
  return {
    name: `lti-scan ~> ${signal} B=${B} T=${T} C=${C} N=${N} decays ${decays}${starts ? ', packed' : ''}`,
    op: ltiScan(signal),
    inputs: {
      u: { role: 'token', values: randomNormal(B * T * width, 1 + seed), shape: [B, T, width] },
      logLambda: { role: 'shared', values: logLambda, shape: [C, N, 2] },
      w: { role: 'shared', values: randomNormal(2 * C * N, 2 + seed), shape: [C, N, 2] },
    },
    resets: documentStarts(B, T, starts),
  };
}
