import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';

/** Where tests with a GPU lie that need no second process: a fake GPU is one process's own. */
const homes = [
  'packages/kernels/dist/ops',
  'packages/worker/dist/training',
  'packages/worker/dist/optim',
] as const;

/** Compiled tests with a GPU whose path holds one of the patterns (all without), relative to the root. */
export function findCudaTests(root: string, patterns: readonly string[]): string[] {
  return homes
    .filter((home) => existsSync(path.join(root, home)))
    .flatMap((home) =>
      readdirSync(path.join(root, home), { recursive: true, encoding: 'utf8' }).map((file) =>
        path.join(home, file),
      ),
    )
    .filter((file) => file.endsWith('.cuda.test.js'))
    .filter((file) => patterns.length === 0 || patterns.some((pattern) => file.includes(pattern)))
    .sort();
}
