import { empty, type Tensor } from '@longscan/kernels';
import type { SliceRange } from './slice-group.js';

/** The tokens that both ranges hold; none: of length 0. */
export function overlap(a: SliceRange, b: SliceRange): SliceRange {
  const start = Math.max(a.start, b.start);
  const end = Math.min(a.start + a.length, b.start + b.length);
  return { start, length: Math.max(0, end - start) };
}

/** Shape of x [B, T, …] with another number of tokens. */
export function shapeWith(x: Tensor, length: number): number[] {
  const [B, , ...row] = x.shape as [number, number, ...number[]];
  return [B, length, ...row];
}

/** Tokens [begin, begin + length) of x [B, T, …], outside of autograd: a view if they lie together, else a copy. */
export function cutTokens(x: Tensor, begin: number, length: number): Tensor {
  const [B, T] = x.shape as [number, number];
  if (B === 1 || length === T) return x.view(shapeWith(x, length), begin * rowSize(x));
  const part = empty(x.device, shapeWith(x, length), x.dtype);
  copyTokens(x, begin, part, 0, length);
  return part;
}

/** target[:, to + i] = source[:, from + i] for i < length, on the compute stream. */
export function copyTokens(source: Tensor, from: number, target: Tensor, to: number, length: number): void {
  const { native, compute } = target.device;
  const size = rowSize(target);
  native.copyColumns(compute.id, flat(source).id, from * size, flat(target).id, to * size, length * size);
}

/** target[:, begin + i] += source[:, i] for all tokens of `source`. */
export function addTokens(source: Tensor, target: Tensor, begin: number): void {
  const { native, compute } = target.device;
  const sum = cutTokens(target, begin, source.dim(1));
  native.axpy(compute.id, 1, source.id, sum.id);
  // Of several sequences they are a copy.
  if (target.dim(0) > 1) copyTokens(sum, 0, target, begin, sum.dim(1));
}

/** The tokens of one part after those of the other, outside of autograd; one part alone is not copied. */
export function joinTokens(parts: readonly Tensor[]): Tensor {
  const [first] = parts as readonly [Tensor];
  if (parts.length === 1) return first.view(first.shape);
  const length = parts.reduce((sum, part) => sum + part.dim(1), 0);
  const whole = empty(first.device, shapeWith(first, length), first.dtype);
  let begin = 0;
  for (const part of parts) {
    copyTokens(part, 0, whole, begin, part.dim(1));
    begin += part.dim(1);
  }
  return whole;
}

/** Elements of one token of one sequence. */
function rowSize(x: Tensor): number {
  return x.size / (x.dim(0) * x.dim(1));
}

/** One row per sequence. */
function flat(x: Tensor): Tensor {
  return x.view([x.dim(0), x.size / x.dim(0)]);
}
