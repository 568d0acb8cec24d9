import { type JobSpec, LongscanError, type ModelTrace } from '@longscan/worker/protocol';

/**
 * Refuses a layer that reads in one direction only where hidden tokens are to be found from both sides.
 * @throws LongscanError E-OBJECTIVE
 */
export function checkObjective(
  { model }: Pick<JobSpec, 'model'>,
  { layers }: Pick<ModelTrace, 'layers'>,
): void {
  if (model.objective === 'causal') return;
  const index = layers.findIndex(({ causalOnly }) => causalOnly !== undefined);
  const layer = layers[index];
  if (layer === undefined) return;
  const others = [...new Set(layers.flatMap(({ name, causalOnly }) => (causalOnly ? [] : [name])))];
  const another = others.length > 0 ? others.join(' or ') : 'one that `longscan layers` lists as masked';
  throw new LongscanError({
    code: 'E-OBJECTIVE',
    where: 'model.objective',
    found: `"masked" with layer ${index} (${layer.name}), which has ${layer.causalOnly}`,
    expected: 'layers whose outputs from both directions add up',
    fix: `model.objective = "causal", or another layer in its place: ${another}`,
    exitCode: 2,
  });
}
