/**
 * Every tolerance of the test suite. A value is relative to the root mean square of the expected tensor
 * (`rms(found - expected) <= tolerance * rms(expected) + floor`) unless its reason says otherwise.
 * Loosening one is a change of its own, with its reason.
 */
export const tolerances = {
  /** f64 kernels against the f64 reference: rounding of sums of up to some thousands of terms. */
  f64: 1e-11,
  /** Central differences in f64 with step 1e-6: truncation 1e-12 · f''' and rounding 1e-16/1e-6. That of a large loss comes on top, as `noise`. */
  centralDifference: 2e-6,
  /** f32 kernels against f64: 2^-24 per operation, sums of up to some thousands of terms with random signs. */
  f32: 5e-6,
  /** f32 gradients that pass through exp of summed log decays: a few ulp more per token of a chunk. */
  f32Decay: 2e-5,
  /** Kernels whose inputs and outputs are bf16, against f64 on the rounded inputs: 2^-9 for each of a few roundings. */
  bf16: 8e-3,
  /** Gradients of log decays there: differences of sums of such products. */
  bf16Decay: 2e-2,
} as const;

/** Absolute part of every comparison: where everything expected is zero, rounding noise of inputs of order one remains. */
export const absoluteFloor = 1e-7;
