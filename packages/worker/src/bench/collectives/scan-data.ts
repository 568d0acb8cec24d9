import { type Device, fromArray, transitionWireElements } from '@longscan/kernels';
import type { MeasuredTransition } from '../../protocol/collectives.js';
import type { Segment } from '../../state/segment.js';
import type { Direction } from '../../strategy.js';
import { pattern } from './pattern.js';

/** Shape of a measured state, [1, H, R, N]. */
export interface StateShape {
  readonly H: number;
  readonly R: number;
  readonly N: number;
}

/** Largest head that is measured: that of large models. */
const headSize = 128;

/** Heads as square as so many f32 elements allow, up to 128 x 128. */
export function stateShape(bytes: number): StateShape {
  const elements = bytes / 4;
  const N = powerOfTwo(elements, Math.min(headSize, Math.sqrt(elements)));
  const R = powerOfTwo(elements / N, headSize);
  return { H: elements / N / R, R, N };
}

/** The largest power of two that divides `elements` and is at most `limit`. */
function powerOfTwo(elements: number, limit: number): number {
  let power = 1;
  while (2 * power <= limit && elements % (2 * power) === 0) power *= 2;
  return power;
}

/** Bytes of M as sent where it travels. */
export function transitionBytes(kind: MeasuredTransition, { H, N }: StateShape): number {
  return 4 * H * transitionWireElements(kind, N);
}

/** M of a rank has entries 1, -1 and 0 only, so that states stay small whole numbers and no order of combining rounds. */
function sign(rank: number, i: number): number {
  return (rank + i) % 2 === 0 ? 1 : -1;
}

/** A rank's segment on a device; in reverse M acts as its transpose. */
export function uploadSegment(
  device: Device,
  kind: MeasuredTransition,
  { H, R, N }: StateShape,
  rank: number,
  direction: Direction,
): Segment {
  const state = Float32Array.from({ length: H * R * N }, (_, i) => pattern(rank, i));
  const factor = factorOf(kind, H, N, rank);
  return {
    ...{ kind, reset: null, transposed: direction === 'reverse' },
    state: fromArray(device, state, [1, H, R, N]),
    factor: factor && fromArray(device, factor, [1, H, factor.length / H]),
  };
}

function factorOf(kind: MeasuredTransition, H: number, N: number, rank: number): Float32Array | null {
  if (kind === 'identity') return null;
  if (kind === 'scalar') return Float32Array.from({ length: H }, (_, h) => sign(rank, h));
  if (kind === 'diagonal') return Float32Array.from({ length: H * N }, (_, i) => sign(rank, i));
  // Moves a row one place on: mixes, and is unlike its transpose.
  const factor = new Float32Array(H * N * N);
  for (let h = 0; h < H; h++)
    for (let n = 0; n < N; n++) factor[(h * N + n) * N + ((n + 1) % N)] = sign(rank, n);
  return factor;
}

/** What M of `factorOf` makes of a row, written into `out`. */
function mapRow(
  kind: MeasuredTransition,
  rank: number,
  h: number,
  row: Float64Array,
  out: Float64Array,
  isTransposed: boolean,
): void {
  const N = row.length;
  for (let n = 0; n < N; n++) {
    const after = (n + 1) % N;
    if (kind === 'identity') out[n] = row[n]!;
    else if (kind === 'scalar') out[n] = sign(rank, h) * row[n]!;
    else if (kind === 'diagonal') out[n] = sign(rank, h * N + n) * row[n]!;
    else if (isTransposed) out[n] = sign(rank, n) * row[after]!;
    else out[after] = sign(rank, n) * row[n]!;
  }
}

/** The definition, folded in f64 row by row: the state that enters `rank`; null where the scan begins. */
export function foldedState(
  kind: MeasuredTransition,
  { H, R, N }: StateShape,
  rank: number,
  numRanks: number,
  direction: Direction,
): Float32Array | null {
  const isReverse = direction === 'reverse';
  const position = isReverse ? numRanks - 1 - rank : rank;
  if (position === 0) return null;
  const states = new Float32Array(H * R * N);
  for (let begin = 0; begin < states.length; begin += N) {
    const h = Math.floor(begin / (R * N));
    let row = new Float64Array(N);
    let next = new Float64Array(N);
    for (let i = 0; i < position; i++) {
      const from = isReverse ? numRanks - 1 - i : i;
      if (i > 0) mapRow(kind, from, h, row, next, isReverse);
      for (let n = 0; n < N; n++) next[n]! += pattern(from, begin + n);
      [row, next] = [next, row];
    }
    states.set(row, begin);
  }
  return states;
}
