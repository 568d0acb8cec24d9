import { z } from 'zod';
import { describeValue } from './describe-value.js';
import { suggest } from './edit-distance.js';
import { type MergedJob, mergeJob } from './merge.js';
import { ProblemList } from './problems.js';
import { type FileKind, readDocument } from './read-document.js';

export interface SettingsFile<T> {
  readonly schema: z.ZodType<T>;
  readonly kind: FileKind;
  /** Of the errors that name what is wrong in it. */
  readonly code: string;
}

/**
 * Reads a file of settings that longscan wrote, as JSON, or somebody else as TOML or YAML with the same keys.
 * @throws LongscanError E-CFG-READ, E-CFG-SIZE, E-CFG-PARSE as `readDocument`; `code`, every problem of the file with its
 *   line, column and key path; all with exit code 2
 */
export function readSettingsFile<T>(file: string, { schema, kind, code }: SettingsFile<T>): T {
  const problems = new ProblemList();
  const document = mergeJob(readDocument(file, kind), [], problems);
  const result = schema.safeParse(document.value);
  if (result.success && problems.isEmpty) return result.data;
  for (const issue of result.error?.issues ?? []) addProblem(issue, document, { schema, code }, problems);
  problems.throwIfAny();
  throw new Error('unreachable: what is refused has a problem');
}

function addProblem<T>(
  issue: z.core.$ZodIssue,
  document: MergedJob,
  { schema, code }: Pick<SettingsFile<T>, 'schema' | 'code'>,
  problems: ProblemList,
): void {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) {
      const where = document.placeOf([...path, key], 'key');
      problems.add({ code, where, found: 'unknown key', fix: suggest(key, keysAt(schema, path)) });
    }
    return;
  }
  const value = path.reduce<unknown>(
    (node, part) => (node as Record<string, unknown> | null)?.[part],
    document.value,
  );
  problems.add({
    code,
    where: document.placeOf(path),
    found: value === undefined ? 'missing' : describeValue(value),
    expected: issue.message,
    fix: 'correct it there, or have longscan bench write the file anew (--save)',
  });
}

/** The keys that the table at `path` may have. */
function keysAt(schema: z.ZodType, path: readonly string[]): string[] {
  let node: z.core.JSONSchema.BaseSchema | undefined = z.toJSONSchema(schema);
  for (const part of path) {
    const inner: unknown = node?.properties?.[part] ?? node?.additionalProperties ?? node?.items;
    node = inner as z.core.JSONSchema.BaseSchema | undefined;
  }
  return Object.keys(node?.properties ?? {});
}
