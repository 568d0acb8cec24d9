import type { Device } from '@longscan/kernels';

/** Times of one candidate, in milliseconds. */
export interface Times {
  readonly medianMs: number;
  /** 10th and 90th percentile. */
  readonly lowMs: number;
  readonly highMs: number;
  readonly numRounds: number;
}

/** Rounds that are not counted: kernels are loaded, memory is taken. */
const numWarmUps = 3;

/**
 * Time of `enqueue` on the device's compute stream. All of a round is enqueued before any of it starts, so JavaScript's own
 * time has no part in it.
 */
export async function measure(device: Device, numRounds: number, enqueue: () => void): Promise<Times> {
  const times: number[] = [];
  for (let round = -numWarmUps; round < numRounds; round++) {
    const openGate = device.compute.closeGate();
    const stop = device.compute.stopwatch();
    let time: Promise<number>;
    try {
      enqueue();
      time = stop();
    } finally {
      openGate();
    }
    const ms = await time;
    if (round >= 0) times.push(ms);
  }
  times.sort((a, b) => a - b);
  const at = (quantile: number): number => times[Math.round(quantile * (times.length - 1))]!;
  return { medianMs: at(0.5), lowMs: at(0.1), highMs: at(0.9), numRounds };
}

/** The same as a CUDA graph: one launch for all of it, so that what launching costs has no part in the time either. */
export async function measureGraph(device: Device, numRounds: number, enqueue: () => void): Promise<Times> {
  const graph = device.compute.capture(enqueue);
  try {
    return await measure(device, numRounds, () => graph.launch());
  } finally {
    graph.release();
  }
}
