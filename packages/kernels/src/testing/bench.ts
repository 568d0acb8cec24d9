import { setTimeout as pause } from 'node:timers/promises';

/** Between candidates: OpenMP's idle threads spin for some milliseconds and would slow the next one down. */
const pauseMs = 20;

/** Times of one candidate, in milliseconds. */
export interface Timing {
  readonly medianMs: number;
  /** 10th and 90th percentile. */
  readonly lowMs: number;
  readonly highMs: number;
  readonly numRounds: number;
}

/**
 * Times candidates against each other: every round runs each of them once, in turn, so that a machine that slows down
 * slows all of them. A candidate may return its own time in milliseconds; otherwise the clock around it counts. Two
 * rounds of warm-up are dropped.
 */
export async function timeRounds<N extends string>(
  candidates: Readonly<Record<N, () => Promise<unknown>>>,
  numRounds = 30,
): Promise<Record<N, Timing>> {
  const names = Object.keys(candidates) as N[];
  const times = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<N, number[]>;
  for (let round = -2; round < numRounds; round++) {
    for (const name of names) {
      await pause(pauseMs);
      const begin = performance.now();
      const own = await candidates[name]();
      const elapsed = performance.now() - begin;
      if (round >= 0) times[name].push(typeof own === 'number' ? own : elapsed);
    }
  }
  return Object.fromEntries(names.map((name) => [name, summarise(times[name])])) as Record<N, Timing>;
}

export function summarise(times: number[]): Timing {
  const sorted = times.sort((a, b) => a - b);
  const at = (quantile: number): number => sorted[Math.floor(quantile * (sorted.length - 1))]!;
  return { medianMs: at(0.5), lowMs: at(0.1), highMs: at(0.9), numRounds: sorted.length };
}
