import {
  type Device,
  type DType,
  dtypeBytes,
  fromArray,
  type TransitionKind,
  transitionWireElements,
} from '@longscan/kernels';
import { randomSource, transitionReference } from '@longscan/kernels/testing';
import type { Segment } from '../../state/segment.js';
import type { Direction, SegmentBytes } from '../../strategy.js';

/** Kinds that a segment can have. */
export type ScannedKind = Exclude<TransitionKind, 'opaque'>;

/** One scan with small integers and powers of two, so that every order of adding gives the same bits. */
export interface ScanCase {
  readonly numRanks: number;
  readonly kind: ScannedKind;
  readonly direction: Direction;
  readonly dtype: DType;
  readonly blocks: number;
  /** A divisor of numRanks. */
  readonly ranksPerNode: number;
  /** [B, H, R, N] */
  readonly shape: readonly [number, number, number, number];
  /** Ranks on which a document starts, in batch row b shifted by b; null: not packed. */
  readonly starts: readonly number[] | null;
  readonly seed: number;
}

/** A segment in host memory. */
export interface HostSegment {
  /** [B, H, R, N] */
  readonly state: Float64Array;
  /** Shaped as `TransitionKind` says. */
  readonly factor: Float64Array | null;
  /** [H, N] for exp-diagonal. */
  readonly rates: Float64Array | null;
  /** [B] */
  readonly reset: Float64Array | null;
}

export function describe(scan: ScanCase): string {
  const { numRanks, ranksPerNode, kind, direction, dtype, blocks, shape, starts } = scan;
  const packed = starts === null ? 'not packed' : `starts on ranks [${starts}]`;
  const ranks = `${numRanks} ranks, ${ranksPerNode} a node`;
  return `${ranks}, ${kind}, ${direction}, ${dtype}, ${blocks} blocks, state [${shape}], ${packed}`;
}

/** One segment per rank. What a reset must hide holds NaN. */
export function hostSegments(scan: ScanCase): HostSegment[] {
  const { numRanks, kind, shape, starts, direction, seed } = scan;
  const [B, H, R, N] = shape;
  const next = randomSource(seed);
  const size = H * R * N;
  const rates = kind === 'exp-diagonal' ? randomRates(H * N, next) : null;
  // M that is known from the length of a run is the same on all ranks and in every batch row.
  const known = randomFactor(kind, H, N, next);
  const isKnown = transitionWireElements(kind, N) === 0;
  return Array.from({ length: numRanks }, (_, rank) => {
    const state = Float64Array.from({ length: B * size }, () => Math.floor(9 * next()) - 4);
    if (kind === 'log-max') addScales(state, N, next);
    const rows = Array.from({ length: B }, () => (isKnown ? known : randomFactor(kind, H, N, next)));
    const factor = known && Float64Array.from(rows.flatMap((row) => [...row!]));
    const startsIn = (b: number, on: number) => starts!.some((start) => (start + b) % numRanks === on);
    const reset = starts && Float64Array.from({ length: B }, (_, b) => Number(startsIn(b, rank)));
    for (let b = 0; starts !== null && b < B; b++) {
      const isBehindReset = Array.from({ length: numRanks }, (_, on) => on).some(
        (on) => startsIn(b, on) && (direction === 'forward' ? rank < on : rank > on),
      );
      if (isBehindReset) state.fill(Number.NaN, b * size, (b + 1) * size);
    }
    return { state, factor, rates, reset };
  });
}

/** The factor of one batch row, such that no product or sum with it rounds; null where there is none. */
function randomFactor(kind: ScannedKind, H: number, N: number, next: () => number): Float64Array | null {
  const power = () => [0.5, 1, 2, -1][Math.floor(4 * next())]!;
  switch (kind) {
    case 'identity':
      return null;
    case 'fixed-scalar':
    case 'scalar':
      return Float64Array.from({ length: H }, power);
    case 'diagonal':
    case 'fixed-complex':
      return Float64Array.from({ length: H * N }, power);
    case 'exp-diagonal':
      return Float64Array.from({ length: H }, () => Math.floor(2 * next()));
    case 'log-max':
      return new Float64Array(H);
    case 'dense':
      // One entry per row, in columns that may repeat: mixes, and is unlike its transpose.
      return Float64Array.from(
        Array.from({ length: H * N }, () => {
          const row = new Array<number>(N).fill(0);
          row[Math.floor(N * next())] = power();
          return row;
        }).flat(),
      );
  }
}

/** Of a factor 0 or 1 they make M 1 or 0, exactly. */
function randomRates(length: number, next: () => number): Float64Array {
  return Float64Array.from({ length }, () => (next() < 0.5 ? 0 : -1e30));
}

/** Scales at which sums are exact: a row is empty, or scaled by exp(0). */
function addScales(state: Float64Array, N: number, next: () => number): void {
  for (let begin = 0; begin < state.length; begin += N) {
    const isEmpty = next() < 0.3;
    if (isEmpty) state.fill(0, begin, begin + N);
    state[begin + N - 1] = isEmpty ? Number.NEGATIVE_INFINITY : 0;
  }
}

/** The definition: the states that enter each rank, from a sequential fold; null where the scan begins. */
export function foldInOrder(scan: ScanCase, segments: readonly HostSegment[]): (Float64Array | null)[] {
  const ranks = segments.map((_, rank) => rank);
  if (scan.direction === 'reverse') ranks.reverse();
  const entering: (Float64Array | null)[] = segments.map(() => null);
  let state: Float64Array | null = null;
  for (const rank of ranks) {
    entering[rank] = state;
    state = state === null ? segments[rank]!.state : apply(scan, segments[rank]!, state);
  }
  return entering;
}

function apply(scan: ScanCase, segment: HostSegment, entering: Float64Array): Float64Array {
  const m = { ...segment, kind: scan.kind, transposed: isTransposed(scan) };
  return transitionReference(scan.shape, m, segment.state, entering);
}

/** Adjoints go through the transpose of M, where it differs from M. */
function isTransposed({ kind, direction }: ScanCase): boolean {
  return direction === 'reverse' && kind !== 'log-max';
}

/** A segment on a device. */
export function upload(device: Device, scan: ScanCase, segment: HostSegment): Segment {
  const { shape, kind, dtype } = scan;
  const [B, H, , N] = shape;
  const { state, factor, rates, reset } = segment;
  const perHead = (factor?.length ?? 0) / (B * H);
  return {
    state: fromArray(device, state, shape, dtype),
    kind,
    transposed: isTransposed(scan),
    factor: factor && fromArray(device, factor, [B, H, perHead], dtype),
    rates: rates && fromArray(device, rates, [H, N], dtype),
    reset: reset && fromArray(device, reset, [B], dtype),
  };
}

/** What architecture and planner say of a segment's size on the wire. */
export function segmentBytes({ shape, kind, dtype, starts }: ScanCase): SegmentBytes {
  const [B, H, R, N] = shape;
  const numResets = starts === null ? 0 : B;
  return {
    state: dtypeBytes[dtype] * B * H * R * N,
    transition: dtypeBytes[dtype] * (B * H * transitionWireElements(kind, N) + numResets),
    rows: B * H * R,
  };
}
