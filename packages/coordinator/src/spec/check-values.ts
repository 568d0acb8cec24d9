import { checkDeviceKeys } from './check-device-keys.js';
import { checkObjectiveKeys } from './check-objective-keys.js';
import { checkRecompute } from './check-recompute.js';
import type { SchemaChecked } from './check-schema.js';
import { checkTimeSlice } from './check-time-slice.js';
import { checkTrace } from './check-trace.js';
import { suggest } from './edit-distance.js';
import type { InstalledUnits } from './installed-units.js';
import type { MergedJob } from './merge.js';
import type { ProblemList } from './problems.js';

/** Rules that tie two keys together, or a key to what is installed; rules about keys that are wrong by themselves are left out. */
export function checkValues(
  { job, isSound }: SchemaChecked,
  merged: MergedJob,
  installed: InstalledUnits,
  problems: ProblemList,
): void {
  checkTimeouts({ job, isSound }, merged, problems);
  checkTrace({ job, isSound }, merged, problems);
  const { strategy } = job.parallel;
  const strategies = ['auto', ...installed.strategies];
  checkName('strategy', strategy, strategies, merged.placeOf(['parallel', 'strategy']), problems);
  const { attentionStrategy } = job.parallel;
  const place = merged.placeOf(['parallel', 'attentionStrategy']);
  const forAttention = ['auto', ...installed.attentionStrategies];
  checkName('attention strategy', attentionStrategy, forAttention, place, problems);
  const { launcher } = job.launch;
  checkName('launcher', launcher, installed.launchers, merged.placeOf(['launch', 'launcher']), problems);
  if (job.checkpoint.keep === 1) {
    problems.add({
      code: 'E-CKPT-KEEP',
      where: merged.placeOf(['checkpoint', 'keep']),
      found: '1',
      expected: '0 (keep all) or at least 2',
      fix: 'keep 2: the newest checkpoint may be the one being written',
    });
  }
  checkDocuments(job.data, merged, problems);
  checkObjectiveKeys({ job }, merged, problems);
  checkRecompute({ job }, merged, problems);
  checkTimeSlice({ job }, merged, problems);
  checkDeviceKeys({ job }, merged, problems);
  if (job.job.deterministic && job.parallel.zero > 0) {
    problems.add({
      code: 'E-CFG-VALUE',
      where: merged.placeOf(['parallel', 'zero']),
      found: `${job.parallel.zero} with job.deterministic = true`,
      expected: '0: sums over shards are added in an order that depends on the number of ranks',
      fix: 'parallel.zero = 0, or job.deterministic = false',
    });
  }
  if (job.job.deterministic && job.parallel.gradientBucket !== 'auto') {
    problems.add({
      code: 'E-CFG-VALUE',
      where: merged.placeOf(['parallel', 'gradientBucket']),
      found: `"${job.parallel.gradientBucket}" with job.deterministic = true, which sums all gradients at once`,
      expected: '"auto"',
      fix: 'leave parallel.gradientBucket out, or job.deterministic = false',
    });
  }
  const numByteValues = 256;
  if (job.model.vocabSize < numByteValues && job.data.tokenizer === null) {
    problems.add({
      code: 'E-CFG-RANGE',
      where: merged.placeOf(['model', 'vocabSize']),
      found: String(job.model.vocabSize),
      expected: `at least ${numByteValues}, one token per byte value`,
      fix: `leave vocabSize out, or set it to ${numByteValues} or more`,
    });
  }
}

/** Packing needs documents, and a format has one way to say where they are. */
function checkDocuments(
  { format, packing, separator, carry }: SchemaChecked['job']['data'],
  merged: MergedJob,
  problems: ProblemList,
): void {
  const isDocumentFormat = format === 'jsonl';
  if (isDocumentFormat && separator !== null) {
    problems.add({
      code: 'E-CFG-VALUE',
      where: merged.placeOf(['data', 'separator']),
      found: `${JSON.stringify(separator)} with data.format = "jsonl", whose lines are the documents`,
      expected: 'no such key',
      fix: 'remove data.separator, or set data.format = "text"',
    });
  }
  if (packing && !isDocumentFormat && separator === null) {
    problems.add({
      code: 'E-CFG-VALUE',
      where: merged.placeOf(['data', 'packing']),
      found: `true, but data.format = "${format}" without data.separator is one document`,
      expected: 'documents to pack',
      fix: 'name the string that begins a document, for example data.separator = "CHAPTER ", or set data.format = "jsonl"',
    });
  }
  if (carry && !packing && (isDocumentFormat || separator !== null)) {
    problems.add({
      code: 'E-CFG-VALUE',
      where: merged.placeOf(['data', 'carry']),
      found: 'true with documents that are not packed, each of which begins with an empty memory',
      expected: 'a text that goes on from step to step',
      fix: 'data.packing = true, or data.carry = false',
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
      fix: `raise ${longer}, or lower ${shorter}`,
    });
  }
}

/** Names of the contract that later versions install. */
const laterUnits: ReadonlySet<string> = new Set(['ssh', 'slurm', 'k8s']);

/** `what` that a key names must be installed. */
function checkName(
  what: string,
  name: string,
  known: readonly string[],
  where: string,
  problems: ProblemList,
): void {
  if (known.includes(name)) return;
  const expected = `one of ${known.join(', ')}`;
  if (laterUnits.has(name)) {
    const fix = `this ${what} is not in this version of longscan`;
    problems.add({ code: 'E-CFG-UNSUPPORTED', where, found: JSON.stringify(name), expected, fix });
  } else {
    const found = `unknown ${what} ${JSON.stringify(name)}`;
    problems.add({ code: 'E-REG', where, found, expected, fix: suggest(name, known) });
  }
}
