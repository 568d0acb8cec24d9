import type { OpEntry } from '@longscan/worker';
import type { ComputeCosts } from './compute-costs.js';

/** Time of one call, with nothing else on the host. */
export function opSeconds(
  costs: ComputeCosts,
  { name, bytes, flops }: Pick<OpEntry, 'name' | 'bytes' | 'flops'>,
): number {
  const { launchS, secondsPerByte, secondsPerFlop } = costs.ops[name] ?? costs.other;
  return launchS + bytes * secondsPerByte + flops * secondsPerFlop;
}
