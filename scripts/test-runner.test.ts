import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

interface Result {
  passed: number;
  failed: number;
  skipped: number;
  problem: string | null;
  output: string;
}

// Plain JavaScript that runs before anything is compiled, so there are no types to import.
const { runTestFile } = (await import(new URL('../test-runner/run-file.mjs', import.meta.url).href)) as {
  runTestFile(file: string, deadlineMs: number, options: { graceMs?: number }): Promise<Result>;
};

const test = suite<{ dir: string }>('test runner');
test.before.each((context) => {
  context.dir = mkdtempSync(path.join(os.tmpdir(), 'longscan-runner-'));
});
test.after.each(({ dir }) => rmSync(dir, { recursive: true }));

/** Runs a program under the runner as if it were a test file. */
function run(dir: string, program: string, deadlineMs = 600_000, graceMs?: number): Promise<Result> {
  const file = path.join(dir, 'x.test.mjs');
  writeFileSync(file, program);
  return runTestFile(file, deadlineMs, graceMs === undefined ? {} : { graceMs });
}

const summary = (passed: number, total: number, skipped = 0) =>
  `console.log('\\n  Total:     ${total}\\n  Passed:    ${passed}\\n  Skipped:   ${skipped}\\n');`;

test('counts what uvu counted', async ({ dir }) => {
  const { passed, failed, skipped, problem } = await run(dir, `${summary(2, 3, 4)} process.exitCode = 1;`);
  assert.equal({ passed, failed, skipped, problem }, { passed: 2, failed: 1, skipped: 4, problem: null });
});

test('a test file runs with poisoned memory and one thread', async ({ dir }) => {
  const { output } = await run(dir, 'console.log(process.env.LONGSCAN_POISON, process.env.OMP_NUM_THREADS);');
  assert.match(output, '1 1');
});

test('a file that only skips passes; one that runs nothing fails', async ({ dir }) => {
  assert.is((await run(dir, summary(0, 0, 1))).failed, 0);
  assert.is((await run(dir, summary(0, 0))).problem, 'ran no test');
  assert.is((await run(dir, '')).failed, 1);
});

test('a crash after the summary is a failure', async ({ dir }) => {
  const result = await run(dir, `${summary(1, 1)} process.kill(process.pid, 'SIGSEGV');`);
  assert.equal([result.passed, result.failed, result.problem], [1, 1, 'ended by SIGSEGV']);
});

test('a status without a failed test is a failure', async ({ dir }) => {
  const result = await run(dir, `${summary(1, 1)} process.exit(7);`);
  assert.equal([result.failed, result.problem], [1, 'ended with status 7']);
});

test('a missed deadline ends the file and its children', async ({ dir }) => {
  const program = `
    import { spawn } from 'node:child_process';
    spawn('sleep', ['600'], { stdio: 'inherit' });`;
  const result = await run(dir, program, 500);
  assert.equal([result.failed, result.problem], [1, 'killed after its deadline of 0.5 s']);
});

test('a detached process that outlives its file is killed and named', async ({ dir }) => {
  const program = `
    import { spawn } from 'node:child_process';
    spawn('sleep', ['600'], { detached: true, stdio: 'inherit' }).unref();
    ${summary(1, 1)}`;
  const { failed, problem } = await run(dir, program, 600_000, 500);
  assert.is(failed, 1);
  assert.match(problem ?? '', /left processes behind: \d+ \(sleep 600\)/);
  const commandLine = `/proc/${/\d+/.exec(problem!)![0]}/cmdline`;
  // Empty for a process that is dead and whose parent has not asked yet.
  assert.is(existsSync(commandLine) ? readFileSync(commandLine, 'utf8') : '', '');
});

test.run();
