import { activationReference } from '../pointwise/reference.js';
import { rmsNormReference } from '../rms-norm/reference.js';

/** The definition: `y = rmsNorm(x) · weight · act(gate)`, for x and gate `[rows, cols]`. */
export function gatedNormReference(
  { x, weight, gate }: { x: Float64Array; weight: Float64Array; gate: Float64Array },
  activation: 'silu' | 'sigmoid',
  eps: number,
): Float64Array[] {
  const [normed] = rmsNormReference({ x, weight }, eps) as [Float64Array];
  return [normed.map((value, i) => value * activationReference[activation](gate[i]!))];
}
