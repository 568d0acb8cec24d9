import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';

/** Where the tests lie that know combines; the quick ones first, since the first to fail ends a mutant. */
const folders = [
  'packages/kernels/dist/ops/transition',
  'packages/worker/dist/state',
  'packages/worker/dist/conformance',
];

/** The compiled test files of those folders, relative to `root`. */
export function findTests(root: string): string[] {
  return folders
    .filter((folder) => existsSync(path.join(root, folder)))
    .flatMap((folder) =>
      readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.test.js'))
        .sort()
        .map((name) => path.join(folder, name)),
    );
}
