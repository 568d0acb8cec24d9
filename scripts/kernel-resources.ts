import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { allowedSpills } from './resources/allowed-spills.js';
import { describeKernels, type FileReport, findNeedless, findSpills } from './resources/check-spills.js';
import { parsePtxasReport, shortName } from './resources/ptxas-report.js';

/**
 * Prints the registers and spills of every CUDA kernel that set-up has built, from what the compiler said then; status 1
 * where one spills that may not, where warpgroup products wait for each other, or where a report is missing.
 */
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const objects = path.join(root, 'packages/kernels/build/CMakeFiles/longscan_cuda.dir/src');
const sources = path.join(root, 'packages/kernels/src');

const files: FileReport[] = [];
const problems: string[] = [];
for (const file of listFiles(sources)
  .filter((name) => name.endsWith('.cu'))
  .sort()) {
  const report = readReport(path.join(objects, `${file}.o.ptxas`));
  if (report === null)
    problems.push(`${file}: no report. Fix: build it with LONGSCAN_BUILD_CUDA=1 npm run setup`);
  else files.push(readFileReport(file, report));
}
problems.push(...findSpills(files, allowedSpills));
console.log(describeKernels(files));
for (const note of findNeedless(files, allowedSpills)) console.log(`note: ${note}`);
for (const problem of problems) console.log(problem);
process.exitCode = problems.length > 0 ? 1 : 0;

function listFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' });
}

function readReport(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function readFileReport(file: string, report: string): FileReport {
  const { kernels, remarks } = parsePtxasReport(report);
  const names = demangle(kernels.map(({ symbol }) => symbol));
  return { file, kernels: kernels.map((kernel, i) => ({ ...kernel, name: shortName(names[i]!) })), remarks };
}

function demangle(symbols: readonly string[]): readonly string[] {
  const { status, stdout } = spawnSync('c++filt', { input: symbols.join('\n'), encoding: 'utf8' });
  return status === 0 ? stdout.split('\n') : symbols;
}
