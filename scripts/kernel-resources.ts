import { spawnSync } from 'node:child_process';
import { allowedSpills } from './resources/allowed-spills.js';
import { type BuiltReport, missingReport, readBuiltReports } from './resources/built-reports.js';
import { describeKernels, type FileReport, findNeedless, findSpills } from './resources/check-spills.js';
import { shortName } from './resources/ptxas-report.js';

/**
 * Prints the registers and spills of every CUDA kernel that set-up has built, from what the compiler said then; status 1
 * where one spills that may not, where warpgroup products wait for each other, or where a report is missing.
 */
const files: FileReport[] = [];
const problems: string[] = [];
for (const { file, report } of readBuiltReports()) {
  if (report === null) problems.push(missingReport(file));
  else files.push(withNames(file, report));
}
problems.push(...findSpills(files, allowedSpills));
console.log(describeKernels(files));
for (const note of findNeedless(files, allowedSpills)) console.log(`note: ${note}`);
for (const problem of problems) console.log(problem);
process.exitCode = problems.length > 0 ? 1 : 0;

function withNames(file: string, { kernels, remarks }: NonNullable<BuiltReport['report']>): FileReport {
  const names = demangle(kernels.map(({ symbol }) => symbol));
  return { file, kernels: kernels.map((kernel, i) => ({ ...kernel, name: shortName(names[i]!) })), remarks };
}

function demangle(symbols: readonly string[]): readonly string[] {
  const { status, stdout } = spawnSync('c++filt', { input: symbols.join('\n'), encoding: 'utf8' });
  return status === 0 ? stdout.split('\n') : symbols;
}
