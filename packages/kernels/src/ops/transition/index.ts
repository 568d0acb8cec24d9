import { LongscanError } from '../../errors.js';
import type { SegmentSummary, TransitionKind } from '../../recurrence-op.js';
import type { Stream } from '../../stream.js';
import { empty, expectShape, type Tensor } from '../../tensor.js';
import '../add/native.js';
import './native.js';

/** Rows of the flattened free axis (B, H, R) of a state. */
export interface RowRange {
  readonly begin: number;
  readonly end: number;
}

/** The numbers of `TransitionKind` in transition.h; how a factor came to be known makes no difference here. */
const transitionCodes: Readonly<Record<Exclude<TransitionKind, 'opaque'>, number>> = {
  identity: 0,
  scalar: 1,
  'fixed-scalar': 1,
  diagonal: 2,
  'exp-diagonal': 3,
  'fixed-complex': 4,
  dense: 5,
  'log-max': 6,
};

/** Of a dense M among the numbers that native functions take. */
export const denseTransitionCode = transitionCodes.dense;

/** Elements of M that travel, per head with rows of `N` numbers: what its factor has, unless the length tells it. */
export function transitionWireElements(kind: TransitionKind, N: number): number {
  const perHead: Readonly<Record<TransitionKind, number>> = {
    identity: 0,
    'fixed-scalar': 0,
    scalar: 1,
    diagonal: N,
    'exp-diagonal': 1,
    'fixed-complex': 0,
    dense: N * N,
    'log-max': 1,
    opaque: 0,
  };
  return perHead[kind];
}

/**
 * `out = reset ? E : M S + E` on some rows of states [B, H, R, N], E and M those of `segment`, enqueued on `stream` (a
 * communication stream as a rule). `out` may be `S`. Outside of autograd. @throws LongscanError E-STRATEGY for `opaque`
 */
export function applyTransition(
  segment: SegmentSummary,
  S: Tensor,
  out: Tensor,
  rows: RowRange,
  stream: Stream,
): void {
  const { kind, state: E } = segment;
  expectShape('transition', 'S', S, E.shape);
  expectShape('transition', 'out', out, E.shape);
  const { begin, end } = rows;
  E.device.native.transitionApply(stream.id, ...nativeSegment(segment), S.id, out.id, begin, end);
  const N = E.dim(-1);
  E.device.flops += 2 * (end - begin) * N * (kind === 'dense' ? N : 1);
}

/** A segment as native functions take it. @throws LongscanError E-STRATEGY for `opaque` */
export function nativeSegment({ kind, state, factor, rates, reset, transposed }: SegmentSummary) {
  if (kind === 'opaque') {
    throw new LongscanError({
      code: 'E-STRATEGY',
      where: 'transition',
      found: 'an opaque recurrence',
      expected: 'one whose effect on a state is an affine map',
      fix: 'run it under the ring strategy',
      exitCode: 1,
    });
  }
  const ids = [factor?.id ?? null, rates?.id ?? null, reset?.id ?? null, state.id] as const;
  return [transitionCodes[kind], transposed ? 1 : 0, ...ids] as const;
}

/**
 * The segment of two runs of tokens, `earlier` and then `later` as a state meets them, in new tensors of `stream`:
 * (M₂ M₁, M₂ E₁ + E₂), or `later` alone where it holds a reset. An `earlier` without factor and reset, into which nothing
 * will ever enter, gives such a one. Outside of autograd. Not for `opaque`.
 */
export function composeTransitions(
  earlier: SegmentSummary,
  later: SegmentSummary,
  stream: Stream,
): SegmentSummary {
  const { kind, transposed, state: E } = later;
  const { device, dtype } = E;
  const state = empty(device, E.shape, dtype, stream);
  applyTransition(later, earlier.state, state, { begin: 0, end: E.size / E.dim(-1) }, stream);
  let factor: Tensor | null = null;
  if (earlier.factor !== null && later.factor !== null && kind !== 'opaque') {
    factor = empty(device, later.factor.shape, dtype, stream);
    device.native.transitionCompose(
      stream.id,
      transitionCodes[kind],
      transposed ? 1 : 0,
      E.dim(-1),
      earlier.factor.id,
      later.factor.id,
      factor.id,
    );
    device.flops += 2 * factor.size * (kind === 'dense' ? E.dim(-1) : 1);
  }
  const reset = earlier.reset && later.reset && anyReset(earlier.reset, later.reset, stream);
  return { ...later, state, factor, reset };
}

/** Not 0 where either is, [B]. */
function anyReset(a: Tensor, b: Tensor, stream: Stream): Tensor {
  const either = empty(a.device, a.shape, a.dtype, stream);
  a.device.native.addForward(stream.id, a.id, b.id, either.id);
  return either;
}
