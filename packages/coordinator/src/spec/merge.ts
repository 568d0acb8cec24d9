import type { JobDocument } from './document.js';
import { formatPlace, type Origin } from './origin.js';
import type { Override } from './overrides.js';
import type { ProblemList } from './problems.js';

/** All that was said about a job, laid over each other, not yet checked. */
export interface MergedJob {
  readonly value: Record<string, unknown>;
  /** Of `section.key`; undefined when it was not given. */
  originOf(key: string): Origin | undefined;
  /** `where` of a message about the key (or its value) at `path`, or about what is missing there. */
  placeOf(path: readonly string[], point?: 'key' | 'value'): string;
}

/** Keys that reach an object's prototype: no setting is called so, and copying them on is a known trap. */
const forbiddenKeys: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** Lays overrides over a document; later ones win. */
export function mergeJob(
  document: JobDocument,
  overrides: readonly Override[],
  problems: ProblemList,
): MergedJob {
  const origins = originsOf(document);
  const merged: MergedJob = {
    value: {},
    originOf: (key) => origins.get(key),
    placeOf(path, point = 'value') {
      const key = path.join('.');
      // A key within it may be all that was set of it.
      const within = [...origins.keys()].filter((known) => known.startsWith(`${key}.`));
      const around = path.map((_, index) => path.slice(0, path.length - index).join('.'));
      const nearest = [key, ...within, ...around].find((known) => origins.has(known));
      const origin = nearest === undefined ? undefined : origins.get(nearest);
      return formatPlace(key, origin, document.file ?? 'job', point);
    },
  };
  Object.assign(merged.value, copyValue(document.value, [], merged, problems));
  for (const { path, value, origin } of overrides) {
    dropOrigins(origins, path);
    origins.set(path.join('.'), origin);
    setAt(merged, path, value, problems);
  }
  return merged;
}

function originsOf({ file, value, places }: JobDocument): Map<string, Origin> {
  if (file !== null) {
    return new Map([...places].map(([path, place]) => [path, { kind: 'file', file, ...place }]));
  }
  const keys = Object.entries(value).flatMap(([section, table]) =>
    isTable(table) ? Object.keys(table).map((key) => `${section}.${key}`) : [section],
  );
  return new Map(keys.map((key) => [key, { kind: 'script' }]));
}

/** Deep copy into plain objects (parsers use other prototypes), without forbidden keys. */
function copyValue(
  value: unknown,
  path: readonly string[],
  merged: MergedJob,
  problems: ProblemList,
): unknown {
  if (Array.isArray(value)) {
    return value.map((item, index) => copyValue(item, [...path, String(index)], merged, problems));
  }
  if (!isTable(value)) return value;
  const copy: Record<string, unknown> = {};
  for (const [key, inner] of Object.entries(value)) {
    const innerPath = [...path, key];
    if (forbiddenKeys.has(key)) reportForbidden(merged, innerPath, problems);
    else copy[key] = copyValue(inner, innerPath, merged, problems);
  }
  return copy;
}

function setAt(merged: MergedJob, path: readonly string[], value: unknown, problems: ProblemList): void {
  if (path.some((part) => forbiddenKeys.has(part))) {
    reportForbidden(merged, path, problems);
    return;
  }
  let table = merged.value;
  for (const [depth, part] of path.slice(0, -1).entries()) {
    table[part] ??= {};
    const next = table[part];
    if (!isTable(next)) {
      const outer = path.slice(0, depth + 1).join('.');
      problems.add({
        code: 'E-CFG-TYPE',
        where: merged.placeOf(path),
        found: `${outer} is not a table`,
        fix: `set only one of ${outer} and ${path.join('.')}`,
      });
      return;
    }
    table = next;
  }
  table[path.at(-1) ?? ''] = copyValue(value, path, merged, problems);
}

function reportForbidden(merged: MergedJob, path: readonly string[], problems: ProblemList): void {
  const where = merged.placeOf(path, 'key');
  problems.add({ code: 'E-CFG-KEY', where, found: 'a key that no job may have', fix: 'remove it' });
}

function dropOrigins(origins: Map<string, Origin>, path: readonly string[]): void {
  const prefix = `${path.join('.')}.`;
  for (const key of origins.keys()) if (key.startsWith(prefix)) origins.delete(key);
}

/** A table of settings, as opposed to a list, a date or a plain value. */
export function isTable(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
