import { type Strategy, supportsTransition } from '@longscan/worker';
import { type JobSpec, LongscanError, type ModelTrace } from '@longscan/worker/protocol';
import type { Layout } from './layout.js';

/** What a strategy can run is all that counts here. */
type Runner = Pick<Strategy, 'name' | 'serial'>;

/** Strategies that can run every recurrence of the model; all of them on one rank, where none is needed. */
export function ableStrategies<S extends Runner>(
  sp: number,
  { recurrences }: Pick<ModelTrace, 'recurrences'>,
  strategies: readonly S[],
): S[] {
  return strategies.filter(
    (strategy) => sp === 1 || recurrences.every(({ kind }) => supportsTransition(strategy, kind)),
  );
}

/**
 * Refuses what a layer of the model cannot do in this layout.
 * @throws LongscanError E-STRATEGY (its recurrence under the job's strategy), E-SHAPE (slices that it cannot be cut into)
 */
export function checkLayers(
  { parallel }: Pick<JobSpec, 'parallel'>,
  layout: Layout,
  trace: Pick<ModelTrace, 'recurrences' | 'layers'>,
  strategies: readonly Runner[],
): void {
  const { sp } = layout.mesh;
  if (sp === 1) return;
  checkSlices(layout, trace);
  const able = ableStrategies(sp, trace, strategies).map(({ name }) => name);
  if (able.length > 0 && (parallel.strategy === 'auto' || able.includes(parallel.strategy))) return;
  const strategy = strategies.find(({ name }) => name === parallel.strategy);
  const { layer, kind } = trace.recurrences.find(
    (recurrence) => strategy === undefined || !supportsTransition(strategy, recurrence.kind),
  )!;
  const works = able.map((name) => `parallel.strategy = "${name}"`);
  throw new LongscanError({
    code: 'E-STRATEGY',
    where: 'parallel.strategy',
    found: `"${parallel.strategy}" with layer ${layer} (${trace.layers[layer]?.name}), whose recurrence is ${kind}`,
    expected: 'a strategy that can run it',
    fix: [...works, 'parallel.sp = 1'].join(', or '),
    exitCode: 2,
  });
}

function checkSlices({ slices, mesh }: Layout, { layers }: Pick<ModelTrace, 'layers'>): void {
  const sliceLength = slices[0]?.length ?? 0;
  const index = layers.findIndex(({ sliceMultiple }) => sliceLength % sliceMultiple !== 0);
  const layer = layers[index];
  if (layer === undefined) return;
  throw new LongscanError({
    code: 'E-SHAPE',
    where: 'model.chunk',
    found: `slices of ${sliceLength} tokens on ${mesh.sp} ranks with layer ${index} (${layer.name})`,
    expected: `slices of a multiple of ${layer.sliceMultiple} tokens, as that layer needs`,
    fix: `model.chunk = ${layer.sliceMultiple}`,
    exitCode: 2,
  });
}
