import { formatDuration } from './metrics/progress-line.js';

/** What `total` pieces of work will take if the others take as long as those that are done; nothing while none is. */
export function timeLeft(elapsedMs: number, done: number, total: number): string {
  return done === 0 ? '' : ` | about ${formatDuration((elapsedMs / done) * (total - done))} left`;
}
