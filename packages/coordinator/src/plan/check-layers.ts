import { type Strategy, supportsTransition } from '@longscan/worker';
import {
  type JobSpec,
  LongscanError,
  type ModelTrace,
  type RecurrenceTrace,
} from '@longscan/worker/protocol';
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
 * @throws LongscanError E-STRATEGY (its recurrence under the job's strategy), E-SHAPE (slices that it cannot be cut into, on
 * ranks or in time)
 */
export function checkLayers(
  { parallel, model }: Pick<JobSpec, 'parallel' | 'model'>,
  layout: Layout,
  trace: Pick<ModelTrace, 'recurrences' | 'layers'>,
  strategies: readonly Runner[],
): void {
  const { sp } = layout.mesh;
  checkTimeSlice(model, trace);
  if (sp === 1) return;
  checkSlices(layout, trace);
  const able = ableStrategies(sp, trace, strategies).map(({ name }) => name);
  const isAble = ({ kind }: RecurrenceTrace) => strategies.some((one) => supportsTransition(one, kind));
  if (parallel.strategy === 'auto' ? trace.recurrences.every(isAble) : able.includes(parallel.strategy))
    return;
  const strategy = strategies.find(({ name }) => name === parallel.strategy);
  const { layer, kind } = trace.recurrences.find((recurrence) =>
    strategy === undefined ? !isAble(recurrence) : !supportsTransition(strategy, recurrence.kind),
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

function checkTimeSlice({ timeSlice }: JobSpec['model'], trace: Pick<ModelTrace, 'layers'>): void {
  const uncut = findUncut(timeSlice, trace);
  if (uncut === null) return;
  const { sliceMultiple } = uncut.layer;
  const nearest = Math.max(sliceMultiple, timeSlice - (timeSlice % sliceMultiple));
  throw uncutError('model.timeSlice', `${timeSlice}`, uncut, `model.timeSlice = ${nearest}`);
}

function checkSlices({ slices, mesh }: Layout, trace: Pick<ModelTrace, 'layers'>): void {
  const sliceLength = slices[0]?.length ?? 0;
  const uncut = findUncut(sliceLength, trace);
  if (uncut === null) return;
  const found = `slices of ${sliceLength} tokens on ${mesh.sp} ranks`;
  throw uncutError('model.chunk', found, uncut, `model.chunk = ${uncut.layer.sliceMultiple}`);
}

interface Uncut {
  readonly index: number;
  readonly layer: ModelTrace['layers'][number];
}

/** The first layer that cannot be cut into slices of so many tokens. */
function findUncut(sliceLength: number, { layers }: Pick<ModelTrace, 'layers'>): Uncut | null {
  const index = layers.findIndex(({ sliceMultiple }) => sliceLength % sliceMultiple !== 0);
  return index === -1 ? null : { index, layer: layers[index]! };
}

function uncutError(where: string, found: string, { index, layer }: Uncut, fix: string): LongscanError {
  return new LongscanError({
    code: 'E-SHAPE',
    where,
    found: `${found} with layer ${index} (${layer.name})`,
    expected: `slices of a multiple of ${layer.sliceMultiple} tokens, as that layer needs`,
    fix,
    exitCode: 2,
  });
}
