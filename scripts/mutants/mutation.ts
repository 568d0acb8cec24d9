import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** One way to break the code that combines segments or hands over halos. */
export interface Mutation {
  /** What is wrong in the mutant. */
  readonly name: string;
  /** From the repository's root. */
  readonly file: string;
  /** Text of the source that must occur exactly once. */
  readonly find: string;
  readonly replace: string;
}

/**
 * Writes the mutant over its source below `root` and returns a function that undoes that. Throws when the text is not
 * there exactly once: the code has changed and the mutation must follow it.
 */
export function applyMutation(root: string, { name, file, find, replace }: Mutation): () => void {
  const target = path.join(root, file);
  const original = readFileSync(target, 'utf8');
  const count = original.split(find).length - 1;
  if (count !== 1)
    throw new Error(
      `mutant "${name}": ${file} holds \`${find}\` ${count} times; bring mutations.ts up to date`,
    );
  writeFileSync(
    target,
    original.replace(find, () => replace),
  );
  return () => writeFileSync(target, original);
}
