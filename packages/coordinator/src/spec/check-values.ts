import type { JobFile } from '@longscan/worker/protocol';
import type { SchemaChecked } from './check-schema.js';
import { suggest } from './edit-distance.js';
import type { MergedJob } from './merge.js';
import type { ProblemList } from './problems.js';

/** Rules that tie two keys together, or a key to what is installed; rules about keys that are wrong by themselves are left out. */
export function checkValues(
  { job, isSound }: SchemaChecked,
  merged: MergedJob,
  strategies: readonly string[],
  problems: ProblemList,
): void {
  checkTimeouts({ job, isSound }, merged, problems);
  checkStrategy(job, merged, strategies, problems);
  if (job.checkpoint.keep === 1) {
    problems.add({
      code: 'E-CKPT-KEEP',
      where: merged.placeOf(['checkpoint', 'keep']),
      found: '1',
      expected: '0 (keep all) or at least 2',
      fix: 'keep 2: the newest checkpoint may be the one being written',
    });
  }
  const numByteValues = 256;
  if (job.model.vocabSize < numByteValues && job.data.tokenizer === null) {
    problems.add({
      code: 'E-CFG-RANGE',
      where: merged.placeOf(['model', 'vocabSize']),
      found: String(job.model.vocabSize),
      expected: `at least ${numByteValues}, one token per byte value`,
    });
  }
}

/** A limit that is not longer than what it watches would fire on healthy ranks. */
function checkTimeouts({ job, isSound }: SchemaChecked, merged: MergedJob, problems: ProblemList): void {
  const ordered = ['heartbeatIntervalMs', 'heartbeatTimeoutMs', 'collectiveTimeoutMs'] as const;
  for (const [index, longer] of ordered.entries()) {
    const shorter = ordered[index - 1];
    if (shorter === undefined || job.launch[shorter] < job.launch[longer]) continue;
    if (!isSound(`launch.${shorter}`, `launch.${longer}`)) continue;
    problems.add({
      code: 'E-TIMEOUT-ORDER',
      where: merged.placeOf(['launch', longer]),
      found: `${longer} ${job.launch[longer]} <= ${shorter} ${job.launch[shorter]}`,
      expected: ordered.join(' < '),
    });
  }
}

function checkStrategy(
  job: JobFile,
  merged: MergedJob,
  strategies: readonly string[],
  problems: ProblemList,
): void {
  const { strategy } = job.parallel;
  const known = ['auto', ...strategies];
  if (known.includes(strategy)) return;
  problems.add({
    code: 'E-REG',
    where: merged.placeOf(['parallel', 'strategy']),
    found: `unknown strategy ${JSON.stringify(strategy)}`,
    expected: `one of ${known.join(', ')}`,
    fix: suggest(strategy, known),
  });
}
