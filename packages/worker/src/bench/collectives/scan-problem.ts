import type { Communicator } from '@longscan/kernels';
import type { MeasuredTransition } from '../../protocol/collectives.js';
import type { Segment } from '../../state/segment.js';
import { foldedState, stateShape, transitionBytes, uploadSegment } from './scan-data.js';

/** What all strategies scan on this rank, there and back, and what has to come out. */
export interface ScanProblem {
  readonly bytes: number;
  readonly transition: MeasuredTransition;
  readonly transitionBytes: number;
  readonly rows: number;
  readonly forward: Segment;
  readonly reverse: Segment;
  readonly expected: readonly (Float32Array | null)[];
  release(): void;
}

export function scanProblem(group: Communicator, transition: MeasuredTransition, bytes: number): ScanProblem {
  const { rank, size, stream } = group;
  const shape = stateShape(bytes);
  const directions = ['forward', 'reverse'] as const;
  const [forward, reverse] = directions.map((direction) =>
    uploadSegment(stream.device, transition, shape, rank, direction),
  );
  return {
    ...{ bytes, transition, rows: shape.H * shape.R, forward: forward!, reverse: reverse! },
    transitionBytes: transitionBytes(transition, shape),
    expected: directions.map((direction) => foldedState(transition, shape, rank, size, direction)),
    release() {
      for (const segment of [forward!, reverse!]) {
        segment.state.release();
        segment.factor?.release();
      }
    },
  };
}
