import { performance } from 'node:perf_hooks';
import type { Communicator } from '@longscan/kernels';
import { behindBarrier } from '../behind-barrier.js';
import type { MeasuredCase } from './measured-case.js';

export interface Sample {
  /** Of one operation, on the stream. */
  readonly seconds: number;
  /** For which JavaScript enqueued one operation. */
  readonly hostSeconds: number;
}

/** One sample of a case, after a barrier, and its values checked. */
export async function takeSample(group: Communicator, measured: MeasuredCase): Promise<Sample> {
  measured.prepare();
  const { time, hostMs } = behindBarrier(group, () => {
    const watches: (() => Promise<number>)[] = [];
    const begin = performance.now();
    measured.enqueue(() => watches.push(group.stream.stopwatch()));
    const hostMs = performance.now() - begin;
    return { time: watches[0]!(), hostMs };
  });
  const seconds = (await time) / 1000 / measured.numOps;
  await measured.check();
  return { seconds, hostSeconds: hostMs / 1000 / measured.numOps };
}
