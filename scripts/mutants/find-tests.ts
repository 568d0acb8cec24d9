import { readdirSync } from 'node:fs';
import path from 'node:path';

/**
 * The tests that know how segments are combined and halos handed over, quick and direct ones first: the first to fail ends
 * a mutant. Those of every layer are left out: they take minutes, and what only they would notice is tested too little. So are
 * those on GPUs, real or fake, which have kernels of their own.
 */
const names = [
  /^kernels\/dist\/ops\/(transition|causal-conv|token-shift|sequence-tail)\//,
  /^worker\/dist\/conformance\/halo\b/,
  /^worker\/dist\/(state|strategy|chain|recurrence)\b/,
  /^worker\/dist\/conformance\/strateg/,
  /^worker\/dist\/conformance\/(?!layers-|training|attention|.*-on-gpus\b)/,
];

/** Their compiled files, relative to `root`, in the order to run them in. */
export function findTests(root: string): string[] {
  const files = ['kernels/dist', 'worker/dist'].flatMap((folder) =>
    readdirSync(path.join(root, 'packages', folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.test.js') && !name.endsWith('.cuda.test.js'))
      .sort()
      .map((name) => path.join(folder, name)),
  );
  const inOrder = names.flatMap((name) => files.filter((file) => name.test(file)));
  return [...new Set(inOrder)].map((file) => path.join('packages', file));
}
