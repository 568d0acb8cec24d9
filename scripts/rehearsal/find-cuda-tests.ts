import { readdirSync } from 'node:fs';
import path from 'node:path';

/** Compiled tests of ops with a GPU whose path holds one of the patterns (all without), relative to the root. */
export function findCudaTests(root: string, patterns: readonly string[]): string[] {
  const home = 'packages/kernels/dist/ops';
  return readdirSync(path.join(root, home), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.cuda.test.js'))
    .map((file) => path.join(home, file))
    .filter((file) => patterns.length === 0 || patterns.some((pattern) => file.includes(pattern)))
    .sort();
}
