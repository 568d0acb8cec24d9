import type { SegmentBytes } from '@longscan/worker';
import type { ModelTrace, RecurrenceTrace } from '@longscan/worker/protocol';

/** Layers whose recurrences scan the same segments, for which therefore one way is best. */
export interface LayerScans {
  /** Counted from the embedding. */
  readonly layers: readonly number[];
  /** Of one of them. */
  readonly recurrences: readonly RecurrenceTrace[];
  /** Segments that a rank holds; more than 1 in deterministic mode only. */
  readonly units: number;
  /** Computation of one of them, seconds on one rank. */
  readonly work: LayerWork;
}

/** What a layer computes beside its scan, while that is under way, and the rest, by direction. */
export interface LayerWork {
  readonly forward: { readonly besideS: number; readonly aloneS: number };
  readonly reverse: { readonly besideS: number; readonly aloneS: number };
}

export const noWork: LayerWork = {
  forward: { besideS: 0, aloneS: 0 },
  reverse: { besideS: 0, aloneS: 0 },
};

/** Layers with recurrences, those that are alike together, in the order of the first of each. `workOf`: by layer. */
export function layerScans(
  { recurrences }: Pick<ModelTrace, 'recurrences'>,
  units: number,
  workOf: (layer: number) => LayerWork = () => noWork,
): LayerScans[] {
  const byLayer = groupBy(recurrences, ({ layer }) => layer);
  const alike = groupBy([...byLayer.keys()], (layer) =>
    JSON.stringify(byLayer.get(layer)!.map(({ layer: _, ...sizes }) => sizes)),
  );
  return [...alike.values()].map((layers) => ({
    layers,
    recurrences: byLayer.get(layers[0]!)!,
    units,
    // Layers of several kinds may scan alike: what is least is offered by all of them.
    work: layers.map(workOf).reduce(leastBeside),
  }));
}

function groupBy<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}

function leastBeside(a: LayerWork, b: LayerWork): LayerWork {
  return a.forward.besideS + a.reverse.besideS <= b.forward.besideS + b.reverse.besideS ? a : b;
}

/** What a recurrence sends, as strategies count it. */
export function segmentBytes(
  { stateBytes, transitionBytes, stateRows, kind }: RecurrenceTrace,
  units: number,
): SegmentBytes {
  return { state: stateBytes, transition: transitionBytes, rows: stateRows, units, kind };
}
