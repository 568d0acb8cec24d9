import { type Device, empty, openShapeDevice, type TransitionKind } from '@longscan/kernels';
import { loadStrategy } from '../load-strategy.js';
import { bytesPerF32 } from '../protocol/bytes.js';
import type { RecurrenceTrace } from '../protocol/plan.js';
import { type Segment, withUnits } from '../state/segment.js';
import type { Direction, Strategy, StrategyOptions } from '../strategy.js';
import { recordRanks } from './folded-ranks.js';
import { numberedEntries } from './numbered-entries.js';
import { Recorder } from './recorder.js';
import type { Schedule } from './schedule.js';
import { shapeGroup } from './shape-group.js';

/** What is scanned: one recurrence call of a plan. `numHeads` left out: as many as M says, and documents are not packed. */
export type ScannedState = Pick<RecurrenceTrace, 'kind' | 'stateBytes' | 'stateRows' | 'transitionBytes'> &
  Partial<Pick<RecurrenceTrace, 'numHeads'>>;

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
  return recordStrategyScan(await loadStrategy(strategy), state, size, options);
}

export interface RecordScanOptions {
  /** Default: forward. */
  readonly direction?: Direction;
  /** Segments that a rank holds; default: 1. */
  readonly units?: number;
  /** Whether chains go through mapped memory; default: as messages. */
  readonly isMapped?: boolean;
}

/**
 * The same of a strategy that is there, in either direction. The last entry of a schedule lets the compute stream wait for the
 * state.
 */
export function recordStrategyScan(
  strategy: Pick<Strategy, 'start' | 'folds'>,
  state: ScannedState,
  size: number,
  options: StrategyOptions,
  { direction = 'forward', units = 1, isMapped = false }: RecordScanOptions = {},
): Schedule[] {
  let streams: readonly string[] = [];
  const record = (rank: number) => {
    const recorder = new Recorder(() => device.flops);
    const device = openShapeDevice({ observe: recorder.observe });
    const stream = device.createStream('sp', { urgent: true });
    const group = shapeGroup(stream, { rank, size, isMapped });
    device.scope(() => {
      const local = withUnits(Array.from({ length: units }, () => segmentOf(state, device, direction)));
      strategy.start(local, group, direction, options).wait();
    });
    streams = recorder.streams;
    return { entries: numberedEntries([{ entries: recorder.take(), scope: 0 }], []) };
  };
  const ranks = Array.from({ length: size }, (_, rank) => rank);
  return recordRanks(ranks, { strategy, size, direction }, record).map(({ entries }) => ({
    streams,
    entries,
  }));
}

function segmentOf(
  { kind, stateBytes, stateRows, transitionBytes, numHeads: given }: ScannedState,
  device: Device,
  direction: Direction,
): Segment {
  const cols = stateBytes / bytesPerF32 / stateRows;
  const shapeOf = factorShapes[kind];
  // Where M does not travel nobody sees how many heads share it.
  const numHeads =
    given ?? (transitionBytes === 0 ? 1 : transitionBytes / bytesPerF32 / product(shapeOf?.(1, cols) ?? []));
  const state = empty(device, [1, numHeads, stateRows / numHeads, cols], 'f32');
  const factor = shapeOf === undefined ? null : empty(device, [1, ...shapeOf(numHeads, cols)], 'f32');
  const rates = kind === 'exp-diagonal' ? empty(device, [numHeads, cols], 'f32') : null;
  const travelling = fixedKinds.has(kind) ? 0 : (factor?.size ?? 0);
  const numResets = transitionBytes / bytesPerF32 - travelling;
  const reset = given !== undefined && numResets > 0 ? empty(device, [numResets], 'f32') : null;
  return { state, kind, factor, rates, reset, transposed: direction === 'reverse' };
}

/** Kinds whose M follows from the length of a run, so that it never travels. */
const fixedKinds: ReadonlySet<TransitionKind> = new Set(['identity', 'fixed-scalar', 'fixed-complex']);

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
