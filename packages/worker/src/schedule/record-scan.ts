import {
  empty,
  NativeCommunicator,
  openShapeDevice,
  type TransitionKind,
  transitionWireElements,
} from '@longscan/kernels';
import { type Segment, withUnits } from '../state/segment.js';
import type { Direction, SegmentBytes, Strategy, StrategyOptions } from '../strategy.js';
import { Recorder } from './recorder.js';
import type { Schedule } from './schedule.js';

/** What ranks scan. */
export interface ScannedSegment {
  readonly bytes: SegmentBytes;
  readonly kind: Exclude<TransitionKind, 'opaque'>;
  /** Heads of all sequences of a rank. */
  readonly numHeads: number;
}

/**
 * What each rank of a group enqueues in one scan, in rank order, from the strategy's own code on a shape device: streams
 * `compute` and `sp`. The last entry lets the compute stream wait.
 */
export function recordScan(
  strategy: Strategy,
  options: StrategyOptions,
  segment: ScannedSegment,
  numRanks: number,
  direction: Direction,
): Schedule[] {
  const recorder = new Recorder(() => device.flops);
  const device = openShapeDevice({ observe: recorder.observe });
  const stream = device.createStream('sp', { urgent: true });
  return Array.from({ length: numRanks }, (_, rank) => {
    const group = new NativeCommunicator(stream, rank, numRanks, 0);
    device.scope(() => {
      const local = shapeOf(segment, device, direction);
      recorder.take();
      strategy.start(local, group, direction, options).wait();
    });
    return { streams: recorder.streams, entries: recorder.take() };
  });
}

type Device = ReturnType<typeof openShapeDevice>;

/** A segment of these sizes, of one batch row unless documents are packed. */
function shapeOf(
  { bytes: { state, transition, rows, units = 1 }, kind, numHeads }: ScannedSegment,
  device: Device,
  direction: Direction,
): Segment {
  const N = state / bytesPerF32 / rows;
  const perHead = transitionWireElements(kind, N);
  const numResets = transition / bytesPerF32 - numHeads * perHead;
  const hasFactor = kind !== 'identity';
  const unit = () => ({
    state: empty(device, [1, numHeads, rows / numHeads, N]),
    kind,
    // One that is known from the length has the size of a number a head here: it is read, and never sent.
    factor: hasFactor ? empty(device, [1, numHeads, Math.max(1, perHead)]) : null,
    rates: kind === 'exp-diagonal' ? empty(device, [numHeads, N]) : null,
    reset: numResets > 0 ? empty(device, [numResets]) : null,
    transposed: direction === 'reverse',
  });
  return withUnits(Array.from({ length: units }, unit));
}

const bytesPerF32 = 4;
