import { defaultMaskRate } from '@longscan/worker/protocol';
import type { SchemaChecked } from './check-schema.js';
import type { MergedJob } from './merge.js';
import type { ProblemList } from './problems.js';

/** What attention to both sides is: keys and values gathered, without a mask. */
const attentionStrategies: readonly string[] = ['auto', 'kv-all-gather'];

/** What cannot be had together with the objective. */
export function checkObjectiveKeys(
  { job: { job, model, data, parallel } }: Pick<SchemaChecked, 'job'>,
  merged: MergedJob,
  problems: ProblemList,
): void {
  const add = (key: string, found: string, expected: string, fix: string) =>
    problems.add({ code: 'E-CFG-VALUE', where: merged.placeOf(key.split('.')), found, expected, fix });
  if (model.objective === 'causal') {
    if (data.maskRate === defaultMaskRate) return;
    const found = `${data.maskRate} with model.objective = "causal", which hides nothing`;
    add('data.maskRate', found, 'no such key', 'model.objective = "masked", or remove data.maskRate');
    return;
  }
  if (job.deterministic) {
    const found = 'true with model.objective = "masked", whose reverse runs do not go unit by unit';
    const fix = 'job.deterministic = false, or model.objective = "causal"';
    add('job.deterministic', found, 'false', fix);
  }
  if (!attentionStrategies.includes(parallel.attentionStrategy)) {
    const found = `"${parallel.attentionStrategy}" with model.objective = "masked", where each rank fetches all that it sees`;
    const fix = `parallel.attentionStrategy = "${attentionStrategies.join('" or "')}"`;
    add(
      'parallel.attentionStrategy',
      found,
      attentionStrategies.map((name) => `"${name}"`).join(' or '),
      fix,
    );
  }
  if (data.carry) {
    const found = 'true with model.objective = "masked": what comes after a sequence is not known yet';
    const fix = 'data.carry = false, or model.objective = "causal"';
    add('data.carry', found, 'false', fix);
  }
}
