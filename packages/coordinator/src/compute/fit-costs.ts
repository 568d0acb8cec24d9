import type { Schedule } from '@longscan/worker';
import type { OpCost } from './compute-costs.js';
import { nonNegativeFit } from './non-negative-fit.js';

/** What a native function did in all calls of a step. */
interface OpWork {
  count: number;
  bytes: number;
  flops: number;
}

/** A step whose ops were timed, and what they worked on. */
export interface ProfiledStep {
  readonly schedule: Schedule;
  /** Of its compute stream, by native function. */
  readonly ops: readonly { readonly name: string; readonly count: number; readonly ms: number }[];
}

/** Work in one step, and how long it took. */
interface Sample extends Readonly<OpWork> {
  readonly seconds: number;
}

/** What is no op: a stream that stands still for others. */
export const isWaiting = (name: string): boolean => /^(streamWait|comm)/.test(name);

/**
 * What ops cost, from steps of several shapes: for each native function the launch, seconds per byte and seconds per FLOP, none
 * negative, that leave the least sum of squared relative errors over the steps. `other` is such a fit over all functions.
 * What a schedule has by other names than the device (recurrences of GPUs) is fitted as a whole to what took the time
 * instead.
 */
export function fitCosts(steps: readonly ProfiledStep[]): { ops: Record<string, OpCost>; other: OpCost } {
  const samples = new Map<string, Sample[]>();
  const renamed = new Set<string>();
  const rest: Sample[] = [];
  for (const { schedule, ops } of steps) {
    const work = workOf(schedule);
    let seconds = 0;
    for (const { name, count, ms } of ops) {
      const done = work.get(name);
      if (done?.count === count) {
        if (ms > 0) samples.set(name, [...(samples.get(name) ?? []), { ...done, seconds: ms / 1000 }]);
        work.delete(name);
      } else if (!isWaiting(name)) seconds += ms / 1000;
    }
    for (const name of work.keys()) renamed.add(name);
    if (seconds > 0 && work.size > 0) rest.push({ ...sumOf([...work.values()]), seconds });
  }
  const known = [...samples]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, of]) => [name, costOf(of)] as const);
  const costOfRest = costOf(rest);
  const others = rest.length === 0 ? [] : [...renamed].map((name) => [name, costOfRest] as const);
  return {
    ops: Object.fromEntries([...others, ...known]),
    other: costOf([...[...samples.values()].flat(), ...rest]),
  };
}

function costOf(samples: readonly Sample[]): OpCost {
  const rows = samples.map(({ count, bytes, flops, seconds }) => [
    count / seconds,
    bytes / seconds,
    flops / seconds,
  ]);
  const ones = rows.map(() => 1);
  const [launchS = 0, secondsPerByte = 0, secondsPerFlop = 0] = nonNegativeFit(rows, ones);
  return { launchS, secondsPerByte, secondsPerFlop };
}

/** By native function on the compute stream. */
function workOf({ entries }: Schedule): Map<string, OpWork> {
  const work = new Map<string, OpWork>();
  for (const entry of entries) {
    if (entry.kind !== 'op' || entry.stream !== 0) continue;
    const { name, bytes, flops } = entry;
    work.set(name, sumOf([work.get(name) ?? { count: 0, bytes: 0, flops: 0 }, { count: 1, bytes, flops }]));
  }
  return work;
}

function sumOf(works: readonly OpWork[]): OpWork {
  const sum = (of: (work: OpWork) => number) => works.reduce((total, work) => total + of(work), 0);
  return {
    count: sum(({ count }) => count),
    bytes: sum(({ bytes }) => bytes),
    flops: sum(({ flops }) => flops),
  };
}
