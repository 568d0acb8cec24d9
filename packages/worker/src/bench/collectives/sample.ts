import { performance } from 'node:perf_hooks';
import type { Communicator } from '@longscan/kernels';
import type { MeasuredCase } from './measured-case.js';

export interface Sample {
  /** Of one operation, on the stream. */
  readonly seconds: number;
  /** For which JavaScript enqueued one operation. */
  readonly hostSeconds: number;
}

/**
 * One sample of a case, after a barrier, and its values checked. All of it is enqueued before any of it starts, so that
 * JavaScript's time has no part in the stream's.
 */
export async function takeSample(group: Communicator, measured: MeasuredCase): Promise<Sample> {
  const { stream } = group;
  measured.prepare();
  stream.wait(stream.device.compute.record());
  const openGate = stream.closeGate();
  const watches: (() => Promise<number>)[] = [];
  let hostMs: number;
  let time: Promise<number>;
  try {
    group.barrier();
    const begin = performance.now();
    measured.enqueue(() => watches.push(stream.stopwatch()));
    hostMs = performance.now() - begin;
    time = watches[0]!();
  } finally {
    openGate();
  }
  const seconds = (await time) / 1000 / measured.numOps;
  await measured.check();
  return { seconds, hostSeconds: hostMs / 1000 / measured.numOps };
}
