import { type JobFile, jobFileSchema } from '@longscan/worker/protocol';
import { describeValue, numberMeant } from './describe-value.js';
import { closest } from './edit-distance.js';
import { isTable, type MergedJob } from './merge.js';
import type { ProblemList } from './problems.js';
import {
  alternatives,
  describeSchema,
  keysOfSection,
  type SchemaNode,
  schemaOfKey,
  sectionNames,
} from './schema-keys.js';
import { suggestKey, suggestSection } from './suggest-key.js';

/** The part of a schema issue that is used here. */
interface Issue {
  readonly code: string;
  readonly path: readonly PropertyKey[];
  readonly keys?: readonly string[];
  readonly errors?: readonly (readonly Issue[])[];
}

/** A job that fits the schema, if need be by leaving out what did not. */
export interface SchemaChecked {
  readonly job: JobFile;
  /** False when one of the keys was wrong, so that `job` holds its default and rules about it mean nothing. */
  isSound(...keys: readonly string[]): boolean;
}

/** Checks keys, types and ranges and fills in defaults; adds one problem per bad key. */
export function checkSchema(merged: MergedJob, problems: ProblemList): SchemaChecked {
  const bad = new Set<string>();
  // A section that is not there at all still has its missing keys reported one by one.
  const result = jobFileSchema.safeParse({ data: {}, ...merged.value });
  if (result.success) return { job: result.data, isSound: () => true };
  for (const issue of result.error.issues as readonly Issue[]) {
    const isUnknown = issue.code === 'unrecognized_keys';
    const paths = isUnknown ? (issue.keys ?? []).map((key) => [...issue.path, key]) : [deepestPath(issue)];
    for (const path of paths.map((parts) => parts.map(String))) {
      const key = path.slice(0, 2).join('.');
      if (isUnknown) reportUnknown(merged, path, problems);
      else if (!bad.has(key)) reportValue(merged, path, problems);
      bad.add(key);
    }
  }
  return {
    job: jobFileSchema.parse(withoutBadKeys(merged.value, bad)),
    isSound: (...keys) => keys.every((key) => !bad.has(key) && !bad.has(key.split('.', 1)[0] ?? key)),
  };
}

/** What is left of the job is worth checking too: a user wants to hear everything at once. */
function withoutBadKeys(value: Record<string, unknown>, bad: ReadonlySet<string>): object {
  const sections = Object.entries(value)
    .filter(([section]) => !bad.has(section))
    .map(([section, table]) => {
      const keys = Object.entries(table as object).filter(([key]) => !bad.has(`${section}.${key}`));
      return [section, Object.fromEntries(keys)] as const;
    });
  const sound = Object.fromEntries(sections);
  // The one key without a default; nothing reads it while it is not sound.
  return { ...sound, data: { path: '.', ...sound.data } };
}

/** A union's issue stands at the union; the branch that went furthest knows the element. */
function deepestPath(issue: Issue): readonly PropertyKey[] {
  let deepest: readonly PropertyKey[] = issue.path;
  for (const inner of (issue.errors ?? []).flat()) {
    const path = [...issue.path, ...deepestPath(inner)];
    if (path.length > deepest.length) deepest = path;
  }
  return deepest;
}

function reportUnknown(merged: MergedJob, path: readonly string[], problems: ProblemList): void {
  const [section = '', key] = path;
  if (key === undefined) {
    const table = merged.value[section];
    const meant = suggestSection(section);
    if (meant === null && isTable(table) && Object.keys(table).length > 0) {
      // A section of another program: each of its keys may have a home here.
      for (const inner of Object.keys(table)) reportUnknown(merged, [section, inner], problems);
      return;
    }
    const fix = meant === null ? `sections are ${sectionNames.join(', ')}` : `did you mean [${meant}]?`;
    problems.add({ code: 'E-CFG-KEY', where: merged.placeOf(path, 'key'), found: 'unknown section', fix });
    return;
  }
  problems.add({
    code: 'E-CFG-KEY',
    where: merged.placeOf(path, 'key'),
    found: 'unknown key',
    fix: remedyForKey(section, key),
  });
}

function remedyForKey(section: string, key: string): string {
  const meant = suggestKey(section, key);
  if (meant !== null) return meant.startsWith(`${section}.`) ? `did you mean ${meant}?` : `it is ${meant}`;
  const known = keysOfSection(section);
  return known.length === 0
    ? `sections are ${sectionNames.join(', ')}`
    : `keys of [${section}] are ${known.join(', ')}`;
}

function reportValue(merged: MergedJob, path: readonly string[], problems: ProblemList): void {
  const schema = schemaOfKey(path);
  const value = path.reduce<unknown>(
    (node, part) => (node as Record<string, unknown> | undefined)?.[part],
    merged.value,
  );
  if (schema === null) {
    const found = describeValue(value);
    problems.add({
      code: 'E-CFG-TYPE',
      where: merged.placeOf(path),
      found,
      expected: 'a table of settings',
      fix: 'write a table, such as [model]',
    });
    return;
  }
  const expected = describeSchema(schema);
  if (value === undefined) {
    const fix = `add it to the job, or --set ${path.join('.')}=…`;
    problems.add({ code: 'E-CFG-MISSING', where: merged.placeOf(path), found: 'missing', expected, fix });
    return;
  }
  const { code, fix = `set ${path.join('.')} to such a value` } = judge(value, schema, path);
  problems.add({ code, where: merged.placeOf(path), found: describeValue(value), expected, fix });
}

/** Which kind of wrong a value is, and what to write instead if that can be guessed. */
function judge(
  value: unknown,
  schema: SchemaNode,
  path: readonly string[],
): { readonly code: string; readonly fix?: string } {
  const branches = alternatives(schema);
  const types = branches.map((branch) => branch.type);
  const takesNumber = types.includes('integer') || types.includes('number');
  if (typeof value === 'string') {
    const words = branches.flatMap(
      (branch) => branch.enum ?? (branch.const === undefined ? [] : [branch.const]),
    );
    const near = closest(value, words);
    if (near !== null) return { code: 'E-CFG-VALUE', fix: `did you mean ${JSON.stringify(near)}?` };
    const number = takesNumber ? numberMeant(value) : null;
    if (number !== null) return { code: 'E-CFG-TYPE', fix: `did you mean ${number}?` };
    if (path.join('.') === 'job.name')
      return { code: 'E-NAME', fix: `for example ${JSON.stringify(slug(value))}` };
    if (types.includes('string')) return { code: 'E-CFG-VALUE' };
  }
  if (
    typeof value === 'bigint' ||
    (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value))
  ) {
    const code = 'E-CFG-RANGE';
    return takesNumber ? { code, fix: 'integers beyond 2^53 are not exact in this runtime' } : { code };
  }
  if (typeof value === 'number' && takesNumber) {
    const isFraction = Number.isFinite(value) && !Number.isInteger(value) && !types.includes('number');
    return { code: isFraction ? 'E-CFG-TYPE' : 'E-CFG-RANGE' };
  }
  return { code: 'E-CFG-TYPE' };
}

/** The nearest allowed run name. */
function slug(name: string): string {
  const words = name.normalize('NFKD').replaceAll(/[^A-Za-z0-9._-]+/g, '-');
  return (
    words
      .replace(/^[^A-Za-z0-9]+/, '')
      .slice(0, 64)
      .replace(/-+$/, '') || 'run'
  );
}
