import type { JobFile } from '@longscan/worker/protocol';
import type { MergedJob } from './merge.js';
import type { ProblemList } from './problems.js';

/** A key of the contract of which this version can do only some values. */
interface Limit {
  readonly key: string;
  readonly feature: string;
  readonly values: readonly unknown[];
}

/** Refused and never ignored: a setting without effect is worse than an error. */
const limits: readonly Limit[] = [
  { key: 'data.format', feature: 'this format', values: ['bytes', 'text', 'jsonl'] },
  { key: 'data.tokenizer', feature: 'tokenisation', values: [null] },
  { key: 'parallel.zero', feature: 'sharding of more than optimizer state', values: [0, 1] },
  { key: 'optimizer.nonFinite', feature: 'going on after a loss that is not finite', values: ['stop'] },
  { key: 'checkpoint.async', feature: 'saving in the background', values: [false] },
  { key: 'launch.restarts', feature: 'restarting after a lost rank', values: [0] },
];

/** Adds E-CFG-UNSUPPORTED for each value that this version knows of but cannot do. */
export function checkSupported(job: JobFile, merged: MergedJob, problems: ProblemList): void {
  for (const { key, feature, values } of limits) {
    const path = key.split('.');
    const value = path.reduce<unknown>((node, part) => (node as Record<string, unknown>)[part], job);
    if (values.includes(value)) continue;
    problems.add({
      code: 'E-CFG-UNSUPPORTED',
      where: merged.placeOf(path),
      found: JSON.stringify(value),
      expected: values[0] === null ? 'no such key' : values.map((one) => JSON.stringify(one)).join(' or '),
      fix: `${feature} is not in this version of longscan`,
    });
  }
}
