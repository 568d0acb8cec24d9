import { maxTracedSteps, parseTraceWindow, usualTraceWindow } from '@longscan/worker/protocol';
import type { SchemaChecked } from './check-schema.js';
import type { MergedJob } from './merge.js';
import type { ProblemList } from './problems.js';

/** The steps of `job.trace` are in order, in the job, and not more than a viewer can show. */
export function checkTrace({ job, isSound }: SchemaChecked, merged: MergedJob, problems: ProblemList): void {
  const { trace, steps } = job.job;
  if (trace === null || !isSound('job.trace', 'job.steps')) return;
  const { first, last } = parseTraceWindow(trace);
  const add = (expected: string, fix: string) =>
    problems.add({
      code: 'E-CFG-VALUE',
      where: merged.placeOf(['job', 'trace']),
      found: JSON.stringify(trace),
      expected,
      fix,
    });
  if (last < first) {
    add('the first step in front of the last', `"${last}-${first}"`);
  } else if (first > steps) {
    add(`a step that the job has, which has ${steps}`, steps > 1 ? `"2-${steps}"` : '"1"');
  } else if (last - first >= maxTracedSteps) {
    add(`at most ${maxTracedSteps} steps`, `"${usualTraceWindow}" shows what steps are like`);
  }
}
