import type { JobSpec } from '@longscan/worker/protocol';

/** Ranks whose links are measured: those of a sequence, or all where each has a whole one. */
export function groupSize({ parallel: { sp, dp } }: Pick<JobSpec, 'parallel'>): number {
  return sp > 1 ? sp : dp;
}
