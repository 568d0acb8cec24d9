import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chipsNamed, rehearsalEnv } from './rehearsal/chips.js';
import { findCudaTests } from './rehearsal/find-cuda-tests.js';
import { kernelTable, launchedSymbols } from './rehearsal/kernel-table.js';
import { missingReport, readBuiltReports } from './resources/built-reports.js';
import type { KernelResources } from './resources/ptxas-report.js';

/**
 * Rehearses the tests of our CUDA kernels without a GPU, for several chips: the code that chooses and launches them runs as it is,
 * each launch is held against what the chip allows. `node scripts/dist/rehearse-kernels.js [--chip A100|L40S|H200]… [PATTERN…]`,
 * after LONGSCAN_BUILD_CUDA=1 npm run setup; patterns choose test files by their paths. Status 1 where a launch would fail.
 */
const root = fileURLToPath(new URL('../..', import.meta.url));
const build = path.join(root, 'packages/kernels/build');
const deadlineMs = 600_000;
const concurrency = 2;
const { values, positionals } = parseArgs({
  options: { chip: { type: 'string', multiple: true, default: [] } },
  allowPositionals: true,
});
const chips = chipsNamed(values.chip);

// Plain JavaScript, which has no types to import.
const { runTestFile } = (await import(new URL('../test-runner/run-file.mjs', import.meta.url).href)) as {
  runTestFile(
    file: string,
    deadlineMs: number,
    options: { readonly env: Readonly<Record<string, string>> },
  ): Promise<{ passed: number; failed: number; seconds: number; problem: string | null; output: string }>;
};

const folder = mkdtempSync(path.join(tmpdir(), 'longscan-rehearsal-'));
try {
  const kernels = builtKernels();
  buildLibrary();
  const tests = findCudaTests(root, positionals);
  const table = path.join(folder, 'kernels');
  writeFileSync(table, kernelTable(kernels));
  let numFailed = 0;
  for (const chip of chips) {
    const launches = path.join(folder, chip.name);
    const env = rehearsalEnv(chip, build, table, launches);
    const sum = { passed: 0, failed: 0 };
    const queue = [...tests];
    const drain = async () => {
      for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
        const { passed, failed, seconds, problem, output } = await runTestFile(file, deadlineMs, { env });
        sum.passed += passed;
        sum.failed += failed;
        console.log(`${failed > 0 ? 'FAIL' : 'ok  '} ${file} for ${chip.name} (${seconds.toFixed(1)} s)`);
        if (failed > 0) console.log(`${output.trimEnd().replace(/^/gm, '     | ')}\n${problem ?? ''}`);
      }
    };
    await Promise.all(Array.from({ length: concurrency }, drain));
    const launched = existsSync(launches) ? launchedSymbols(readFileSync(launches, 'utf8')) : new Set();
    console.log(
      `${chip.name}: ${sum.passed} rehearsed, ${sum.failed} failed; ${launched.size} kernels were launched`,
    );
    numFailed += sum.failed;
  }
  process.exitCode = numFailed > 0 || tests.length === 0 ? 1 : 0;
} finally {
  rmSync(folder, { recursive: true });
}

/** Of all sources, for each architecture. */
function builtKernels(): KernelResources[] {
  return readBuiltReports().flatMap(({ file, report }) => {
    if (report === null) throw new Error(missingReport(file));
    return report.kernels;
  });
}

/** The objects that set-up has built, linked with the fake runtime. */
function buildLibrary(): void {
  const { status } = spawnSync(
    'cmake',
    ['--build', build, '--target', 'longscan_cuda_rehearsal', 'fake_nccl'],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  if (status !== 0)
    throw new Error(
      'the library of the rehearsal was not built. Fix: LONGSCAN_BUILD_CUDA=1 npm run setup, then the errors above',
    );
}
