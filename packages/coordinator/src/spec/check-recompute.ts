import type { SchemaChecked } from './check-schema.js';
import type { MergedJob } from './merge.js';
import type { ProblemList } from './problems.js';

/** What the backward pass may compute again, and of how many blocks. */
export function checkRecompute(
  { job: { job, model } }: Pick<SchemaChecked, 'job'>,
  merged: MergedJob,
  problems: ProblemList,
): void {
  const { recompute, recomputedBlocks, numLayers } = model;
  if (job.deterministic && recompute === 'cheap') {
    problems.add({
      code: 'E-CFG-VALUE',
      where: merged.placeOf(['model', 'recompute']),
      found: '"cheap" with job.deterministic = true, which keeps every output',
      expected: 'false or true',
      fix: 'model.recompute = true, or job.deterministic = false',
    });
  }
  if (recomputedBlocks === 'all') return;
  const add = (found: string, expected: string, fix: string) =>
    problems.add({
      code: 'E-CFG-VALUE',
      where: merged.placeOf(['model', 'recomputedBlocks']),
      found: `${recomputedBlocks} with ${found}`,
      expected,
      fix,
    });
  if (recompute === false) {
    const fix = 'model.recomputedBlocks = "all", or model.recompute = "cheap" or true';
    add('model.recompute = false', '"all": nothing is computed again', fix);
  } else if (recomputedBlocks > numLayers) {
    const fix = 'model.recomputedBlocks = "all", or fewer';
    add(`model.numLayers = ${numLayers}`, `at most ${numLayers}`, fix);
  }
}
