import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CompilerRemark, type KernelResources, parsePtxasReport } from './ptxas-report.js';

const kernels = fileURLToPath(new URL('../../../packages/kernels', import.meta.url));
const objects = path.join(kernels, 'build/CMakeFiles/longscan_cuda.dir/src');
const sources = path.join(kernels, 'src');

/** What the compiler said of one CUDA source when set-up built it. */
export interface BuiltReport {
  /** Relative to the sources. */
  readonly file: string;
  /** Null: it has not been built. */
  readonly report: { readonly kernels: KernelResources[]; readonly remarks: CompilerRemark[] } | null;
}

/** Of each CUDA source, by name. */
export function readBuiltReports(): BuiltReport[] {
  const files = readdirSync(sources, { recursive: true, encoding: 'utf8' });
  return files
    .filter((file) => file.endsWith('.cu'))
    .sort()
    .map((file) => ({ file, report: readReport(path.join(objects, `${file}.o.ptxas`)) }));
}

/** What to say of a source without a report. */
export const missingReport = (file: string): string =>
  `${file}: no report. Fix: build it with LONGSCAN_BUILD_CUDA=1 npm run setup`;

function readReport(file: string): BuiltReport['report'] {
  try {
    return parsePtxasReport(readFileSync(file, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
