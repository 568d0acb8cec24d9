import { fromArray, openShapeDevice, type TransitionKind } from '@longscan/kernels';
import { sliceContexts } from '../../model/layer-context.js';
import { buildLayer } from './build-layer.js';
import { noting, type RecurrenceCall } from './recurrence-calls.js';
import { deepPlace, type Variant } from './variant.js';

/** The kinds of M that a layer's recurrences have, as its own code shows on a shape-only device. */
export function transitionsOf(variant: Variant): ReadonlySet<TransitionKind> {
  const device = openShapeDevice();
  const { apply } = buildLayer(device, variant, deepPlace, 'f32');
  const x = fromArray(device, new Float32Array(variant.dModel), [1, 1, variant.dModel]);
  const calls: RecurrenceCall[] = [];
  apply(x, noting(sliceContexts(null, null).forLayer(deepPlace.index), calls));
  return new Set(calls.map(({ op }) => op.transition));
}

/** Whether M of some recurrence is known from the length of a slice, which must then be the same on every rank. */
export function isFixed(kinds: ReadonlySet<TransitionKind>): boolean {
  return kinds.has('fixed-scalar') || kinds.has('fixed-complex');
}
