import type { ParameterSpec } from './init.js';

/** Elements between parameters are padded so that every one begins on a vector boundary. */
export const alignment = 16;

/** A parameter with its first element in the flat buffers. */
export type ParameterPlace = ParameterSpec & { readonly offset: number };

/** One after the other, those that ops see rounded behind the others; in the order of declaration among themselves. */
export function layOut(specs: readonly ParameterSpec[], isRounded: (spec: ParameterSpec) => boolean) {
  const offsets = new Map<ParameterSpec, number>();
  let next = 0;
  let numUnrounded = 0;
  for (const behind of [false, true]) {
    for (const spec of specs) {
      if (isRounded(spec) !== behind) continue;
      offsets.set(spec, next);
      next += alignedSize(spec.shape);
    }
    if (!behind) numUnrounded = next;
  }
  const places = specs.map((spec): ParameterPlace => ({ ...spec, offset: offsets.get(spec)! }));
  return { places, numUnrounded, used: next };
}

function alignedSize(shape: readonly number[]): number {
  return Math.ceil(product(shape) / alignment) * alignment;
}

export function product(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}
