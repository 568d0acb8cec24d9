import type { OpProfile } from '@longscan/kernels';

/** Of profiles of the same work: the median time of each function, and of the whole. */
export function medianProfile(profiles: readonly OpProfile[]): OpProfile {
  const ops = Object.entries(profiles[0]!.ops).map(([name, { count, bytes }]) => {
    const times = profiles.map((profile) => profile.ops[name]?.ms ?? 0);
    return [name, { count, ms: median(times), bytes }] as const;
  });
  return { wholeMs: median(profiles.map(({ wholeMs }) => wholeMs)), ops: Object.fromEntries(ops) };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
