import { existsSync } from 'node:fs';
import path from 'node:path';
import { root, SetupError } from './setup/exec.mjs';
import { workspaceFolders } from './setup/packages.mjs';
import { listFiles } from './setup/stamps.mjs';
import { setup } from './setup.mjs';
import { runTestFile } from './test-runner/run-file.mjs';

/**
 * `npm test -- PATTERN…`: sets up, then runs every compiled test file whose path holds one of the patterns (all
 * without), each in its own process. The last line is `N passed, N failed` or `N passed, N failed, N skipped`.
 */
/** Only a file that hangs runs into it: on a machine that is busy the longest take four minutes. */
const deadlineMs = 900_000;
const concurrency = 2;

await setup().catch((error) => {
  if (!(error instanceof SetupError)) throw error;
  console.log(`${error.message}\n0 passed, 1 failed`);
  process.exit(error.exitCode);
});
const patterns = process.argv.slice(2);
const files = findTests().filter((file) => patterns.length === 0 || patterns.some((p) => file.includes(p)));
const sum = { passed: 0, failed: 0, skipped: 0 };
const queue = [...files];
await Promise.all(Array.from({ length: concurrency }, drainQueue));
if (files.length === 0) {
  console.log(`no test file's path holds ${patterns.join(' or ')}`);
  sum.failed = 1;
}
const skipped = sum.skipped > 0 ? `, ${sum.skipped} skipped` : '';
console.log(`${sum.passed} passed, ${sum.failed} failed${skipped}`);
process.exitCode = sum.failed > 0 ? 1 : 0;

/** Compiled test files, relative to the root. */
function findTests() {
  const folders = workspaceFolders().map((folder) => path.join(folder, 'dist'));
  const tests = folders
    .filter(existsSync)
    .flatMap((dist) => listFiles(dist, (name) => name.endsWith('.test.js')));
  return tests.map((file) => path.relative(root, file));
}

async function drainQueue() {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const result = await runTestFile(file, deadlineMs);
    sum.passed += result.passed;
    sum.failed += result.failed;
    sum.skipped += result.skipped;
    report(file, result);
  }
}

function report(file, { passed, failed, skipped, seconds, problem, output }) {
  const counts = `${passed} passed${failed > 0 ? `, ${failed} FAILED` : ''}${skipped > 0 ? `, ${skipped} skipped` : ''}`;
  console.log(`${failed > 0 ? 'FAIL' : 'ok  '} ${file}: ${counts} (${seconds.toFixed(1)} s)`);
  if (failed === 0) return;
  console.log(output.trimEnd().replace(/^/gm, '     | '));
  if (problem !== null) console.log(`     ${problem}`);
}
