import { traceModel } from '../model/trace.js';
import type { Plan } from '../protocol/plan.js';

/**
 * Floating-point operations of a token, forward and backward pass, as the model's own code counts them on a whole sequence:
 * nothing is computed twice. `modules`: bundled module of each layer file outside the packages.
 */
export async function modelFlopsPerToken(
  { jobSpec, sequencesPerRank, paddedLength }: Plan,
  modules: Readonly<Record<string, string>>,
): Promise<number> {
  const spec = { ...jobSpec, model: { ...jobSpec.model, recompute: false, timeSlice: 0 } };
  const numSequences = sequencesPerRank / jobSpec.data.accumulate;
  const { flopsPerToken } = await traceModel(spec, { numSequences, sliceLength: paddedLength, modules });
  return flopsPerToken;
}

/** Of all tokens of a step on one rank. */
export function flopsPerRank(flopsPerToken: number, { sequencesPerRank, paddedLength, mesh }: Plan): number {
  return (flopsPerToken * sequencesPerRank * paddedLength) / mesh.sp;
}
