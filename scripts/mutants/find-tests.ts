import { readdirSync } from 'node:fs';
import path from 'node:path';

/** The tests that know how segments are combined: of the op, of the strategies, of recurrences over ranks. */
const names =
  /^(kernels\/dist\/ops\/transition|worker\/dist\/(state|strategy|chain|recurrence|conformance|strategies)\b)/;

/** Their compiled files, relative to `root`, the op's first: it is quick, and the first to fail ends a mutant. */
export function findTests(root: string): string[] {
  return ['kernels/dist', 'worker/dist']
    .flatMap((folder) =>
      readdirSync(path.join(root, 'packages', folder), { recursive: true, encoding: 'utf8' })
        .sort()
        .map((name) => path.join(folder, name)),
    )
    .filter((file) => names.test(file) && file.endsWith('.test.js'))
    .map((file) => path.join('packages', file));
}
