import {
  type Device,
  empty,
  NativeCommunicator,
  openShapeDevice,
  type TransitionKind,
} from '@longscan/kernels';
import { loadStrategy } from '../load-strategy.js';
import type { RecurrenceTrace } from '../protocol/plan.js';
import type { Segment } from '../state/segment.js';
import type { StrategyOptions } from '../strategy.js';
import { numberedEntries } from './numbered-entries.js';
import { Recorder } from './recorder.js';
import type { Schedule } from './schedule.js';

/** What is scanned: one recurrence call of a plan, without documents. */
export type ScannedState = Pick<RecurrenceTrace, 'kind' | 'stateBytes' | 'stateRows' | 'transitionBytes'>;

const bytesPerF32 = 4;

/**
 * What each of `size` ranks enqueues in one forward scan with nothing beside it, in rank order. Opens no native file.
 *
 * @param strategy Its name.
 */
export async function recordScan(
  strategy: string,
  state: ScannedState,
  size: number,
  options: StrategyOptions,
): Promise<readonly Schedule[]> {
  const { start } = await loadStrategy(strategy);
  return Array.from({ length: size }, (_, rank) => {
    const recorder = new Recorder(() => device.flops);
    const device = openShapeDevice({ observe: recorder.observe });
    const group = new NativeCommunicator(device.createStream('sp', { urgent: true }), rank, size, 0);
    device.scope(() => {
      start(segmentOf(state, device), group, 'forward', options).wait();
    });
    const entries = numberedEntries([{ entries: recorder.take(), scope: 0 }], []);
    return { streams: recorder.streams, entries };
  });
}

function segmentOf({ kind, stateBytes, stateRows, transitionBytes }: ScannedState, device: Device): Segment {
  const cols = stateBytes / bytesPerF32 / stateRows;
  const shapeOf = factorShapes[kind];
  // Where M does not travel nobody sees how many heads share it.
  const numHeads =
    transitionBytes === 0 ? 1 : transitionBytes / bytesPerF32 / product(shapeOf?.(1, cols) ?? []);
  const state = empty(device, [1, numHeads, stateRows / numHeads, cols], 'f32');
  const factor = shapeOf === undefined ? null : empty(device, [1, ...shapeOf(numHeads, cols)], 'f32');
  const rates = kind === 'exp-diagonal' ? empty(device, [numHeads, cols], 'f32') : null;
  return { state, kind, factor, rates, reset: null };
}

/** Shapes of M without the batch, by heads and columns; see `TransitionKind`. */
const factorShapes: Partial<Record<TransitionKind, (numHeads: number, cols: number) => number[]>> = {
  'fixed-scalar': (numHeads) => [numHeads],
  scalar: (numHeads) => [numHeads],
  diagonal: (numHeads, cols) => [numHeads, cols],
  'exp-diagonal': (numHeads) => [numHeads],
  'fixed-complex': (numHeads, cols) => [numHeads, cols],
  dense: (numHeads, cols) => [numHeads, cols, cols],
  'log-max': (numHeads) => [numHeads],
};

function product(shape: readonly number[]): number {
  return shape.reduce((size, length) => size * length, 1);
}
