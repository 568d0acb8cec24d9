import type { DType } from '@longscan/kernels';
import { randomNormal } from '@longscan/kernels/testing';
import type { LayerPlace } from '../../layer.js';
import { deepPlace, type Variant } from './variant.js';

/** One layer, what goes into it and the gradient that comes back; in host memory, whole sequences. */
export interface Problem {
  readonly variant: Variant;
  readonly place: LayerPlace;
  readonly dtype: DType;
  readonly B: number;
  /** Tokens of the whole sequence. */
  readonly T: number;
  /** [B, T, D] */
  readonly x: Float64Array;
  /** dL/dOutput, [B, T, D] */
  readonly outputGradient: Float64Array;
  /** [B, T], 1 where a document starts; null: one document. */
  readonly resets: Int32Array | null;
  /** Recurrences run in both directions, as under the masked objective. */
  readonly bidirectional: boolean;
}

export interface ProblemOptions {
  readonly B?: number;
  readonly T: number;
  readonly dtype?: DType;
  readonly place?: LayerPlace;
  /** Tokens at which a document starts, by batch row. */
  readonly starts?: readonly (readonly number[])[] | undefined;
  readonly bidirectional?: boolean;
}

export function createProblem(variant: Variant, options: ProblemOptions): Problem {
  const { B = 2, T, dtype = 'f64', place = deepPlace, starts, bidirectional = false } = options;
  const size = B * T * variant.dModel;
  const resets = starts ? new Int32Array(B * T) : null;
  starts?.forEach((tokens, b) => {
    for (const t of tokens) resets![b * T + t] = 1;
  });
  const [x, outputGradient] = [randomNormal(size, 1), randomNormal(size, 2)];
  return { variant, place, dtype, B, T, x, outputGradient, resets, bidirectional };
}
