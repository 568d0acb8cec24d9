import { createHash } from 'node:crypto';
import { type JobSpec, resumableKeys } from '@longscan/worker/protocol';

/** Whether two jobs may differ in a key, or in all keys below it, and still count as the same. */
export type MayDiffer = (key: string) => boolean;

/** Names a job by everything that a resumption may not change: equal hashes can continue each other's runs. */
export function jobHash(job: JobSpec, mayDiffer: MayDiffer = isResumable): string {
  const lines = flatten(job)
    .filter(([key]) => !mayDiffer(key))
    .map(([key, text]) => `${key}=${text}`);
  return createHash('sha256').update(lines.sort().join('\n')).digest('hex');
}

/** One key on which a run and its resumption differ though they may not. */
export interface JobDrift {
  readonly key: string;
  /** As JSON; `absent` where one of the two has no such key. */
  readonly before: string;
  readonly now: string;
}

/** Every difference that stands in the way of a resumption, by key. */
export function findDrift(before: JobSpec, now: JobSpec, mayDiffer: MayDiffer = isResumable): JobDrift[] {
  const left = new Map(flatten(before));
  const right = new Map(flatten(now));
  return [...new Set([...left.keys(), ...right.keys()])]
    .filter((key) => !mayDiffer(key) && left.get(key) !== right.get(key))
    .sort()
    .map((key) => ({ key, before: left.get(key) ?? 'absent', now: right.get(key) ?? 'absent' }));
}

function isResumable(key: string): boolean {
  return resumableKeys.some((known) => key === known || key.startsWith(`${known}.`));
}

/** Leaves of a job by dotted path, as JSON, so that the order of keys does not matter. */
function flatten(job: JobSpec): [string, string][] {
  // A layer file is its path, however a job spells it.
  const layers = job.model.layers.map(({ use, options, file }) => ({ use: file ?? use, options }));
  return [...leaves({ ...job, model: { ...job.model, layers } })];
}

function* leaves(node: unknown, path = ''): Generator<[string, string]> {
  if (typeof node !== 'object' || node === null) {
    yield [path, JSON.stringify(node)];
    return;
  }
  for (const [key, value] of Object.entries(node)) yield* leaves(value, path === '' ? key : `${path}.${key}`);
}
