import type { OpEntry, Schedule } from '@longscan/worker';
import type { ComputeCosts } from './compute-costs.js';

/** Time of one call, with nothing else on the host. */
export function opSeconds(
  costs: Pick<ComputeCosts, 'ops' | 'other'>,
  { name, bytes, flops }: Pick<OpEntry, 'name' | 'bytes' | 'flops'>,
): number {
  const { launchS, secondsPerByte, secondsPerFlop } = costs.ops[name] ?? costs.other;
  return launchS + bytes * secondsPerByte + flops * secondsPerFlop;
}

/** Time of all ops of a step on a rank's compute stream. */
export function computeSeconds(costs: Pick<ComputeCosts, 'ops' | 'other'>, { entries }: Schedule): number {
  return entries.reduce(
    (sum, entry) => (entry.kind === 'op' && entry.stream === 0 ? sum + opSeconds(costs, entry) : sum),
    0,
  );
}
