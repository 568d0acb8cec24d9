import { z } from 'zod';
import { describeValue } from '../spec/describe-value.js';
import { suggest } from '../spec/edit-distance.js';
import { type MergedJob, mergeJob } from '../spec/merge.js';
import { ProblemList } from '../spec/problems.js';
import { readDocument } from '../spec/read-document.js';
import { type FabricFile, fabricFileSchema } from './fabric-file.js';

/**
 * Reads a fabric file: JSON as `bench collectives --save` writes it, or TOML or YAML with the same keys.
 * @throws LongscanError E-CFG-READ, E-CFG-SIZE, E-CFG-PARSE as `readDocument`; E-FABRIC, every problem of the file with its
 *   line, column and key path; all with exit code 2
 */
export function readFabricFile(file: string): FabricFile {
  const problems = new ProblemList();
  const document = mergeJob(readDocument(file, 'a fabric file'), [], problems);
  const result = fabricFileSchema.safeParse(document.value);
  if (result.success && problems.isEmpty) return result.data;
  for (const issue of result.error?.issues ?? []) addProblem(issue, document, problems);
  problems.throwIfAny();
  throw new Error('unreachable: what is refused has a problem');
}

function addProblem(issue: z.core.$ZodIssue, document: MergedJob, problems: ProblemList): void {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) {
      const where = document.placeOf([...path, key], 'key');
      problems.add({ code: 'E-FABRIC', where, found: 'unknown key', fix: suggest(key, keysAt(path)) });
    }
    return;
  }
  const value = path.reduce<unknown>(
    (node, part) => (node as Record<string, unknown> | null)?.[part],
    document.value,
  );
  problems.add({
    code: 'E-FABRIC',
    where: document.placeOf(path),
    found: value === undefined ? 'missing' : describeValue(value),
    expected: issue.message,
  });
}

/** The keys that the table at `path` may have. */
function keysAt(path: readonly string[]): string[] {
  let node: z.core.JSONSchema.BaseSchema | undefined = z.toJSONSchema(fabricFileSchema);
  for (const part of path) {
    const inner: unknown = node?.properties?.[part] ?? node?.items;
    node = inner as z.core.JSONSchema.BaseSchema | undefined;
  }
  return Object.keys(node?.properties ?? {});
}
