import type { AllowedSpill } from './allowed-spills.js';
import type { CompilerRemark, KernelResources } from './ptxas-report.js';

/** What the compiler said of one file of kernels. */
export interface FileReport {
  /** Below packages/kernels/src. */
  readonly file: string;
  readonly kernels: readonly (KernelResources & { readonly name: string })[];
  readonly remarks: readonly CompilerRemark[];
}

/**
 * A line for each kernel that spills more than it may, for each loss that the compiler tells of, and for what is allowed in
 * vain.
 */
export function findSpills(files: readonly FileReport[], allowed: readonly AllowedSpill[]): string[] {
  const problems: string[] = [];
  for (const { file, kernels, remarks } of files) {
    const entries = allowed.filter((entry) => entry.file === file);
    const needed = new Set<AllowedSpill>();
    for (const kernel of kernels.filter(({ spillBytes }) => spillBytes > 0)) {
      const { name, architecture, spillBytes } = kernel;
      const entry = entries.find((entry) => covers(entry, kernel));
      if (entry !== undefined) needed.add(entry);
      if (spillBytes > (entry?.bytes ?? 0))
        problems.push(
          `${file}: ${name} on ${architecture} spills ${spillBytes} bytes, allowed are ${entry?.bytes ?? 0}`,
        );
    }
    for (const { symbol, code, text } of remarks) {
      const meant = kernels.filter((kernel) => kernel.symbol === symbol); // on each architecture
      const entry = entries.find(
        (entry) => entry.losses?.includes(code) && meant.some((kernel) => covers(entry, kernel)),
      );
      if (entry !== undefined) needed.add(entry);
      else problems.push(`${file}: ${meant[0]?.name ?? 'a kernel'}: ${text}`);
    }
    for (const entry of entries.filter((entry) => !needed.has(entry)))
      problems.push(`${file}: ${entry.kernel} does not need its place on the list of those that may spill`);
  }
  return problems;
}

function covers({ kernel, architecture }: AllowedSpill, built: FileReport['kernels'][number]): boolean {
  const [base] = built.name.split('<');
  return (
    (kernel === built.name || kernel === base) && (architecture ?? built.architecture) === built.architecture
  );
}

/** By file: its kernels, and the most registers of one; then each that spills. */
export function describeKernels(files: readonly FileReport[]): string {
  const lines: string[] = [];
  for (const { file, kernels } of files) {
    const most = Math.max(0, ...kernels.map((kernel) => kernel.registers));
    lines.push(`${file}: ${kernels.length} kernels, at most ${most} registers`);
    for (const { name, architecture, registers, spillBytes } of kernels) {
      if (spillBytes > 0)
        lines.push(`  ${name} on ${architecture}: ${registers} registers, ${spillBytes} bytes spilled`);
    }
  }
  return lines.join('\n');
}
