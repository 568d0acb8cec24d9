import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { AddonBuild } from './mutants/addon-build.js';
import { findTests } from './mutants/find-tests.js';
import { applyMutation, type Mutation } from './mutants/mutation.js';
import { mutations } from './mutants/mutations.js';
import { WorkspaceCopy } from './mutants/workspace-copy.js';

/**
 * Breaks the code that combines segments and hands over halos in each of the known ways, in a copy, and demands that a
 * test notices.
 * Status 1 when a mutant survives, or when the tests fail on the code as it is.
 */
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const addons = new AddonBuild(path.join(root, 'packages/kernels'));
const copy = new WorkspaceCopy(root);
try {
  copy.compileTypeScript();
  const tests = findTests(copy.root);
  // Built as the mutants are, so that a fault of the building is not taken for a test that notices.
  const unchanged = buildAddon(mutations.find(({ file }) => isNative(file))!.file);
  const red = tests.filter((test) => copy.run(test, unchanged) !== 'passed');
  for (const test of red) console.log(`${test} fails without any mutation`);
  const survivors = red.length > 0 ? [] : mutations.filter((mutation) => !isNoticed(mutation, tests));
  console.log(`${tests.length} test files, ${mutations.length} mutants, ${survivors.length} survived`);
  process.exitCode = red.length > 0 || survivors.length > 0 ? 1 : 0;
} finally {
  copy.remove();
}

function isNoticed(mutation: Mutation, tests: readonly string[]): boolean {
  const undo = applyMutation(copy.root, mutation);
  try {
    if (!isNative(mutation.file)) copy.compileTypeScript();
    const addon = isNative(mutation.file) ? buildAddon(mutation.file) : addons.original;
    for (const test of tests) {
      const outcome = copy.run(test, addon);
      if (outcome === 'passed') continue;
      console.log(`${mutation.name}: ${outcome === 'failed' ? 'noticed' : 'BROKEN, not noticed'} by ${test}`);
      return outcome === 'failed';
    }
    console.log(`${mutation.name}: SURVIVED`);
    return false;
  } finally {
    undo();
    if (!isNative(mutation.file)) copy.compileTypeScript();
  }
}

/** The addon with the copy's version of one file. */
function buildAddon(file: string): string {
  const output = path.join(copy.root, 'mutant.node');
  addons.build(path.relative('packages/kernels', file), path.join(copy.root, 'packages/kernels'), output);
  return output;
}

function isNative(file: string): boolean {
  return !file.endsWith('.ts');
}
