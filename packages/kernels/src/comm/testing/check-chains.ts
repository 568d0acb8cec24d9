import { applyTransition } from '../../ops/transition/index.js';
import type { SegmentSummary, TransitionKind } from '../../recurrence-op.js';
import { empty, fromArray, type Tensor } from '../../tensor.js';
import { randomNormal } from '../../testing/random.js';
import type { Communicator } from '../communicator.js';

/** A chain to run. */
export interface ChainCase {
  readonly kind: Exclude<TransitionKind, 'opaque'>;
  /** [B, H, R, N] */
  readonly shape: readonly [number, number, number, number];
  readonly step: 1 | -1;
  /** Whether a document starts in the segments of odd ranks, in every second batch row. */
  readonly packed: boolean;
  /** E begins so many elements into its memory. */
  readonly offset: number;
}

/** What every class of M is tried on: single numbers, rows that no access of 16 bytes fits, several blocks a lane. */
const chainShapes = [
  [1, 1, 1, 2],
  [2, 3, 5, 4],
  [3, 1, 33, 34],
  [1, 2, 300, 128],
  [2, 5, 64, 64],
] as const;

/** Every kind on every shape, both ways in turn, packed or not. */
export function chainCases(kinds: readonly ChainCase['kind'][]): ChainCase[] {
  return kinds.flatMap((kind) =>
    chainShapes.flatMap((shape, i) =>
      ([1, -1] as const).flatMap((step) =>
        [false, true].map((packed) => ({ kind, shape, step, packed, offset: packed && i % 2 === 0 ? 2 : 0 })),
      ),
    ),
  );
}

/** A rank's segment, of numbers that round: another order of adding would show. */
function segmentOf({ stream, rank }: Communicator, scan: ChainCase, seed: number): SegmentSummary {
  const { kind, shape, step, packed, offset } = scan;
  const [B, H, R, N] = shape;
  const { device } = stream;
  const size = B * H * R * N;
  const values = (count: number, salt: number, scale: number) =>
    randomNormal(count, 1000 * seed + 10 * rank + salt, scale);
  const perHead = { diagonal: N, 'fixed-complex': N, dense: N * N, identity: 0 }[kind as string] ?? 1;
  const state = fromArray(device, values(offset + size, 1, 1), [offset + size]).view(shape, offset);
  const factor = perHead && fromArray(device, values(B * H * perHead, 2, 0.3), [B, H, perHead]);
  const rates = kind === 'exp-diagonal' ? fromArray(device, values(H * N, 3, 0.5), [H, N]) : null;
  const starts = Array.from({ length: B }, (_, b) => Number(rank % 2 === 1 && b % 2 === 0));
  const reset = packed ? fromArray(device, starts, [B]) : null;
  return { kind, state, factor: factor || null, rates, reset, transposed: step < 0 && kind !== 'log-max' };
}

/** The same way of the state, message by message. */
function passWhole(group: Communicator, segment: SegmentSummary, step: 1 | -1): Tensor | null {
  const { rank, size, stream } = group;
  const [prev, next] = [rank - step, rank + step];
  const isRank = (peer: number) => peer >= 0 && peer < size;
  const { state } = segment;
  const { device, shape, dtype } = state;
  const incoming = isRank(prev) ? empty(device, shape, dtype, stream) : null;
  if (incoming !== null) group.recv(incoming, prev);
  if (isRank(next)) {
    let outgoing = state;
    if (incoming !== null) {
      outgoing = empty(device, shape, dtype, stream);
      const rows = { begin: 0, end: state.size / state.dim(-1) };
      applyTransition(segment, incoming, outgoing, rows, stream);
    }
    group.send(outgoing, next);
  }
  return incoming;
}

/**
 * Runs every case as one chain, all of them without waiting in between, then message by message, on the ranks of this
 * process. Gives what differs: nothing, or every bit is not the same, or bytes were not counted.
 */
export async function chainDifferences(
  comms: readonly Communicator[],
  cases: readonly ChainCase[],
): Promise<string[]> {
  const runs = comms.map((group) => {
    const { device } = group.stream;
    const segments = cases.map((scan, i) => segmentOf(group, scan, i));
    group.stream.wait(device.compute.record());
    const sentBefore = group.bytesSent();
    const found = cases.map(({ step, shape }, i) => {
      const isFirst = group.rank === (step === 1 ? 0 : group.size - 1);
      const incoming = isFirst ? null : empty(device, shape, 'f32', group.stream);
      group.chain!(segments[i]!, incoming, step);
      return incoming;
    });
    return { group, segments, sentBefore, found };
  });
  await Promise.all(comms.map(({ stream }) => stream.sync()));
  const byChain = runs.map(({ group, sentBefore }) => group.bytesSent() - sentBefore);
  const whole = runs.map(({ group, segments }) =>
    cases.map(({ step }, i) => passWhole(group, segments[i]!, step)),
  );
  await Promise.all(comms.map(({ stream }) => stream.sync()));
  const differences: string[] = [];
  for (const [i, { group, sentBefore, found }] of runs.entries()) {
    const where = (scan: ChainCase) => `rank ${group.rank} of ${group.size}, ${JSON.stringify(scan)}`;
    const byMessages = group.bytesSent() - sentBefore - byChain[i]!;
    if (byChain[i] !== byMessages)
      differences.push(`rank ${group.rank}: ${byChain[i]} bytes, by messages ${byMessages}`);
    for (const [j, scan] of cases.entries()) {
      const [one, other] = [found[j]!, whole[i]![j]!];
      if (one === null || other === null) continue;
      const [a, b] = [bitsOf(await one.read()), bitsOf(await other.read())];
      const at = a.findIndex((value, k) => value !== b[k]);
      if (at >= 0) differences.push(`${where(scan)}: element ${at} is ${a[at]}, by messages ${b[at]}`);
    }
  }
  return differences;
}

function bitsOf(values: ArrayLike<number> & ArrayBufferView): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}
