import type { Schedule } from '@longscan/worker';
import type { ComputeCosts } from './compute-costs.js';
import { remedy } from './load-compute.js';

/** Which ops of these schedules' compute streams a compute file has no costs of, in a sentence; none: it has all. */
export function unknownOps(
  { name, ops, isSaved = false }: Pick<ComputeCosts, 'name' | 'ops' | 'isSaved'>,
  schedules: readonly Schedule[],
): string[] {
  if (!isSaved) return [];
  const unknown = new Set<string>();
  for (const { entries } of schedules) {
    for (const entry of entries)
      if (entry.kind === 'op' && entry.stream === 0 && !Object.hasOwn(ops, entry.name))
        unknown.add(entry.name);
  }
  const names = [...unknown].sort().join(', ');
  return names === ''
    ? []
    : [
        `"${name}" has no costs of ${names}: they count as any other op, by bytes and FLOPs; ${remedy} (one rank, which does not run what only ranks of one sequence do)`,
      ];
}
