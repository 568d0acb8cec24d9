import { type Device, type DType, dtypeBytes, fromArray, type TransitionKind } from '@longscan/kernels';
import { randomSource } from '@longscan/kernels/testing';
import type { Segment } from '../../state/segment.js';
import type { Direction, SegmentBytes } from '../../strategy.js';

/** One scan with small integers and powers of two, so that every order of adding gives the same bits. */
export interface ScanCase {
  readonly numRanks: number;
  readonly kind: TransitionKind;
  readonly direction: Direction;
  readonly dtype: DType;
  readonly blocks: number;
  /** [B, H, V, K] */
  readonly shape: readonly [number, number, number, number];
  /** Ranks on which a document starts, in batch row b shifted by b; null: not packed. */
  readonly starts: readonly number[] | null;
  readonly seed: number;
}

/** A segment in host memory. */
export interface HostSegment {
  /** [B, H, V, K] */
  readonly state: Float64Array;
  /** [B, H] or [B, H, K] */
  readonly factor: Float64Array | null;
  /** [B] */
  readonly reset: Float64Array | null;
}

export function describe({ numRanks, kind, direction, dtype, blocks, shape, starts }: ScanCase): string {
  const packed = starts === null ? 'not packed' : `starts on ranks [${starts}]`;
  return `${numRanks} ranks, ${kind}, ${direction}, ${dtype}, ${blocks} blocks, state [${shape}], ${packed}`;
}

/** One segment per rank. What a reset must hide holds NaN. */
export function hostSegments(scan: ScanCase): HostSegment[] {
  const { numRanks, kind, shape, starts, direction, seed } = scan;
  const [B, H, V, K] = shape;
  const next = randomSource(seed);
  const power = () => [0.5, 1, 2, -1][Math.floor(4 * next())]!;
  const perHead = kind === 'diagonal' ? K : 1;
  // M that is known from the length of a run is the same on all ranks and in every batch row.
  const known = Float64Array.from({ length: H }, power);
  return Array.from({ length: numRanks }, (_, rank) => {
    const state = Float64Array.from({ length: B * H * V * K }, () => Math.floor(9 * next()) - 4);
    const drawn = Float64Array.from({ length: B * H * perHead }, power);
    const repeated = Float64Array.from({ length: B * H }, (_, i) => known[i % H]!);
    const factor = kind === 'identity' ? null : kind === 'fixed-scalar' ? repeated : drawn;
    const startsIn = (b: number, on: number) => starts!.some((start) => (start + b) % numRanks === on);
    const reset = starts && Float64Array.from({ length: B }, (_, b) => Number(startsIn(b, rank)));
    for (let b = 0; starts !== null && b < B; b++) {
      const isBehindReset = Array.from({ length: numRanks }, (_, on) => on).some(
        (on) => startsIn(b, on) && (direction === 'forward' ? rank < on : rank > on),
      );
      if (isBehindReset) state.fill(Number.NaN, b * H * V * K, (b + 1) * H * V * K);
    }
    return { state, factor, reset };
  });
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

function apply({ shape }: ScanCase, segment: HostSegment, entering: Float64Array): Float64Array {
  const [B, H, V, K] = shape;
  const { state, factor, reset } = segment;
  return state.map((E, i) => {
    const head = Math.floor(i / (V * K));
    if (reset?.[Math.floor(head / H)]) return E;
    const M = factor === null ? 1 : factor.length === B * H ? factor[head]! : factor[head * K + (i % K)]!;
    return M * entering[i]! + E;
  });
}

/** A segment on a device. */
export function upload(device: Device, scan: ScanCase, segment: HostSegment): Segment {
  const { shape, kind, dtype } = scan;
  const [B, H, , K] = shape;
  const { state, factor, reset } = segment;
  return {
    state: fromArray(device, state, shape, dtype),
    kind,
    factor: factor && fromArray(device, factor, kind === 'diagonal' ? [B, H, K] : [B, H], dtype),
    reset: reset && fromArray(device, reset, [B], dtype),
  };
}

/** What architecture and planner say of a segment's size on the wire. */
export function segmentBytes({ shape, kind, dtype, starts }: ScanCase): SegmentBytes {
  const [B, H, V, K] = shape;
  const perHead = { identity: 0, 'fixed-scalar': 0, scalar: 1, diagonal: K }[kind];
  const numResets = starts === null ? 0 : B;
  return {
    state: dtypeBytes[dtype] * B * H * V * K,
    transition: dtypeBytes[dtype] * (B * H * perHead + numResets),
  };
}
