import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { AddonBuild } from './mutants/addon-build.js';
import { findTests } from './mutants/find-tests.js';
import { applyMutation, type Mutation } from './mutants/mutation.js';
import { mutations } from './mutants/mutations.js';
import { WorkspaceCopy } from './mutants/workspace-copy.js';

/**
 * Breaks the code that combines segments and hands over halos in each of the known ways, in copies, and demands that a
 * test notices.
 * Status 1 when a mutant survives, or when the tests fail on the code as it is.
 */
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const addons = new AddonBuild(path.join(root, 'packages/kernels'));
/** Mutants at once, as many as the test runner has files. */
const copies = [new WorkspaceCopy(root), new WorkspaceCopy(root)];
try {
  await Promise.all(copies.map((copy) => copy.compileTypeScript()));
  const tests = findTests(copies[0]!.root);
  // Built as the mutants are, so that a fault of the building is not taken for a test that notices.
  const unchanged = await buildAddon(copies[0]!, mutations.find(({ file }) => isNative(file))!.file);
  const red: string[] = [];
  await inCopies(tests, async (test, copy) => {
    if ((await copy.run(test, unchanged)) !== 'passed') red.push(test);
  });
  for (const test of red) console.log(`${test} fails without any mutation`);
  const survivors: Mutation[] = [];
  await inCopies(red.length > 0 ? [] : mutations, async (mutation, copy) => {
    if (!(await isNoticed(mutation, copy, tests))) survivors.push(mutation);
  });
  console.log(`${tests.length} test files, ${mutations.length} mutants, ${survivors.length} survived`);
  process.exitCode = red.length > 0 || survivors.length > 0 ? 1 : 0;
} finally {
  for (const copy of copies) copy.remove();
}

/** Does `work` for every item, one at a time in each copy. */
async function inCopies<T>(items: readonly T[], work: (item: T, copy: WorkspaceCopy) => Promise<void>) {
  const queue = [...items];
  const drain = async (copy: WorkspaceCopy) => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item, copy);
  };
  // All of them: a copy is removed only when nothing runs in it.
  const ends = await Promise.allSettled(copies.map(drain));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

async function isNoticed(mutation: Mutation, copy: WorkspaceCopy, tests: readonly string[]) {
  const start = performance.now();
  const tell = (end: string) =>
    console.log(`${mutation.name}: ${end} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
  const undo = applyMutation(copy.root, mutation);
  try {
    // Of the mutant before this one, too, which has been undone.
    await copy.compileTypeScript();
    const addon = isNative(mutation.file) ? await buildAddon(copy, mutation.file) : addons.original;
    for (const test of nearestFirst(tests, mutation)) {
      const outcome = await copy.run(test, addon);
      if (outcome === 'passed') continue;
      tell(`${outcome === 'failed' ? 'noticed' : 'BROKEN, not noticed'} by ${test}`);
      return outcome === 'failed';
    }
    tell('SURVIVED');
    return false;
  } finally {
    undo();
  }
}

/** The broken file's own test comes first, then those of its package: those of packages below it cannot notice. */
function nearestFirst(tests: readonly string[], { file }: Mutation): string[] {
  const own = `${path.basename(file, '.ts')}.test.js`;
  const folder = path.join(...file.split('/').slice(0, 2), path.sep);
  const rank = (test: string) => (path.basename(test) === own ? 0 : test.startsWith(folder) ? 1 : 2);
  return tests.toSorted((a, b) => rank(a) - rank(b));
}

/** The addon with the copy's version of one file. */
async function buildAddon(copy: WorkspaceCopy, file: string): Promise<string> {
  const output = path.join(copy.root, 'mutant.node');
  await addons.build(
    path.relative('packages/kernels', file),
    path.join(copy.root, 'packages/kernels'),
    output,
  );
  return output;
}

function isNative(file: string): boolean {
  return !file.endsWith('.ts');
}
