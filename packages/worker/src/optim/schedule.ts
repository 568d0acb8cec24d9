import type { JobSpec } from '../protocol/job-spec.js';

/**
 * Learning rate of optimizer step `step` (from 1): linear warm-up to `lr`, then along the schedule to `lr · minLrRatio`
 * at the job's last step.
 */
export function learningRate(
  { lr, schedule, warmupSteps, minLrRatio }: JobSpec['optimizer'],
  step: number,
  numSteps: number,
): number {
  if (step <= warmupSteps) return (lr * step) / warmupSteps;
  const progress = Math.min(1, (step - warmupSteps) / Math.max(1, numSteps - warmupSteps));
  const remaining = {
    cosine: (1 + Math.cos(Math.PI * progress)) / 2,
    linear: 1 - progress,
    constant: 1,
  }[schedule];
  return schedule === 'constant' ? lr : lr * (minLrRatio + (1 - minLrRatio) * remaining);
}
