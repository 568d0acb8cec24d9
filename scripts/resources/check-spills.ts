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
 * A line for each kernel that spills more than it may, and for each loss that the compiler tells of where it may not be.
 */
export function findSpills(files: readonly FileReport[], allowed: readonly AllowedSpill[]): string[] {
  const problems: string[] = [];
  for (const { file, kernels, remarks } of files) {
    const entries = allowed.filter((entry) => entry.file === file);
    for (const kernel of kernels.filter(({ spillBytes }) => spillBytes > 0)) {
      const { name, architecture, spillBytes } = kernel;
      const entry = entries.find((entry) => covers(entry, kernel));
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
      if (entry === undefined) problems.push(`${file}: ${meant[0]?.name ?? 'a kernel'}: ${text}`);
    }
  }
  return problems;
}

function covers({ kernel, architecture }: AllowedSpill, built: FileReport['kernels'][number]): boolean {
  const [base] = built.name.split('<');
  return (
    (kernel === built.name || kernel === base) && (architecture ?? built.architecture) === built.architecture
  );
}

/** What is allowed in vain: kernels that were built and neither spill nor have losses any more. */
export function findNeedless(files: readonly FileReport[], allowed: readonly AllowedSpill[]): string[] {
  const isNeedless = (entry: AllowedSpill): boolean => {
    const built = files.find(({ file }) => file === entry.file);
    if (built === undefined) return false;
    const { kernels, remarks } = built;
    return !kernels.some(
      (kernel) =>
        covers(entry, kernel) &&
        (kernel.spillBytes > 0 || remarks.some(({ symbol }) => symbol === kernel.symbol)),
    );
  };
  return allowed
    .filter(isNeedless)
    .map(
      ({ file, kernel, architecture }) =>
        `${file}: ${kernel} (${architecture ?? 'any'}) need not be on the list`,
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
