import type { SchemaChecked } from './check-schema.js';
import type { MergedJob } from './merge.js';
import type { ProblemList } from './problems.js';

/** What cannot be had together with `model.timeSlice`, and what not without it. */
export function checkTimeSlice(
  { job: { job, model, data, parallel } }: Pick<SchemaChecked, 'job'>,
  merged: MergedJob,
  problems: ProblemList,
): void {
  checkKeptMlps(model, merged, problems);
  if (model.timeSlice === 0) return;
  const add = (key: string, found: string, expected: string, fix: string) =>
    problems.add({
      code: 'E-CFG-VALUE',
      where: merged.placeOf(key.split('.')),
      found: `${found} with model.timeSlice = ${model.timeSlice}`,
      expected,
      fix: `${fix}, or model.timeSlice = 0`,
    });
  if (parallel.sp > 1) {
    const expected = '1: the slices of a rank would wait for all of those before it';
    add('parallel.sp', String(parallel.sp), expected, 'parallel.sp = 1 (parallel.dp may be more)');
  }
  if (model.recompute === true) {
    const expected =
      'false or "cheap": a shorter slice saves as much, and runs forward twice and not three times';
    add('model.recompute', 'true', expected, 'model.recompute = false and a smaller model.timeSlice');
  }
  if (model.objective === 'masked') {
    const expected = '"causal": slices are run in the order of time';
    add('model.objective', '"masked"', expected, 'model.objective = "causal"');
  }
  if (job.deterministic) {
    const expected = 'false: slices do not run unit by unit';
    add('job.deterministic', 'true', expected, 'job.deterministic = false');
  }
  if (data.carry) {
    const expected = 'false: a sequence may be as long as the text, with gradients through all of it';
    add('data.carry', 'true', expected, 'data.carry = false and a larger data.sequenceLength');
  }
}

/** There must be as many outputs that a second sweep would compute again. */
function checkKeptMlps(
  { keptMlps, timeSlice, numLayers, mlp }: SchemaChecked['job']['model'],
  merged: MergedJob,
  problems: ProblemList,
): void {
  const add = (found: string, expected: string) =>
    problems.add({
      code: 'E-CFG-VALUE',
      where: merged.placeOf(['model', 'keptMlps']),
      found: `${keptMlps}${found}`,
      expected,
      fix: 'set model.keptMlps so, or leave it out',
    });
  if (keptMlps === 0) return;
  if (timeSlice === 0) add(' with model.timeSlice = 0', '0: no block runs forward twice');
  else if (mlp === 0) add(' with model.mlp = 0', '0: there are no MLPs');
  else if (keptMlps >= numLayers) {
    const most = numLayers - 1;
    add(` with model.numLayers = ${numLayers}`, `at most ${most}: the last block's MLP runs once anyway`);
  }
}
