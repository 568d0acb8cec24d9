import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { AddonBuild } from './mutants/addon-build.js';
import { findTests } from './mutants/find-tests.js';
import { applyMutation, type Mutation } from './mutants/mutation.js';
import { mutations } from './mutants/mutations.js';
import { WorkspaceCopy } from './mutants/workspace-copy.js';

/**
 * Breaks the code that combines segments in each of the known ways, in a copy, and demands that a test notices.
 * Status 1 when a mutant survives, or when the tests fail on the code as it is.
 */
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const addons = new AddonBuild(path.join(root, 'packages/kernels'));
const copy = new WorkspaceCopy(root);
try {
  copy.compileTypeScript();
  const tests = findTests(copy.root);
  const red = tests.filter((test) => !copy.passes(test, addons.original));
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
    const addon = build(mutation);
    const killer = tests.find((test) => !copy.passes(test, addon));
    console.log(`${mutation.name}: ${killer === undefined ? 'SURVIVED' : `noticed by ${killer}`}`);
    return killer !== undefined;
  } finally {
    undo();
    if (mutation.file.endsWith('.ts')) copy.compileTypeScript();
  }
}

/** Compiles the mutant; returns the addon to test it with. */
function build({ file }: Mutation): string {
  if (file.endsWith('.ts')) {
    copy.compileTypeScript();
    return addons.original;
  }
  const output = path.join(copy.root, 'mutant.node');
  addons.build(path.relative('packages/kernels', file), path.join(copy.root, 'packages/kernels'), output);
  return output;
}
