import { documentStarts, type RecurrenceCheck, randomNormal, randomUniform } from '../../testing/index.js';
import { type VectorScanInputs, vectorScan } from './index.js';

// What the tests of this op, on CPU and GPU, are made of.

export interface Case {
  readonly B: number;
  readonly T: number;
  readonly C: number;
  /** Range of the log decays. */
  readonly gates: readonly [number, number];
  readonly starts?: readonly number[];
}

/** Everything that `checkRecurrence` wants to know of one shape; `seed` makes its inputs. */
export function problem({ B, T, C, gates, starts }: Case, seed: number): RecurrenceCheck<VectorScanInputs> {
  return {
    name: `vector-scan ~> B=${B} T=${T} C=${C} gates ${gates}${starts ? ', packed' : ''}`,
    op: vectorScan,
    inputs: {
      x: { role: 'token', values: randomNormal(B * T * C, 1 + seed), shape: [B, T, C] },
      g: { role: 'token', values: randomUniform(B * T * C, 2 + seed, ...gates), shape: [B, T, C] },
    },
    resets: documentStarts(B, T, starts),
  };
}
