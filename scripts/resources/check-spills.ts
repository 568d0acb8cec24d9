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
    for (const { name, architecture, spillBytes } of kernels) {
      const most = entries.find(
        (entry) => entry.kernel === name && entry.architecture === architecture,
      )?.bytes;
      if (spillBytes > (most ?? 0))
        problems.push(
          `${file}: ${name} on ${architecture} spills ${spillBytes} bytes, allowed are ${most ?? 0}`,
        );
      if (spillBytes === 0 && most !== undefined)
        problems.push(
          `${file}: ${name} on ${architecture} does not spill, and is on the list of those that may`,
        );
    }
    for (const { kernel, architecture } of entries) {
      if (!kernels.some((built) => built.name === kernel && built.architecture === architecture))
        problems.push(
          `${file}: no ${kernel} on ${architecture}, which is on the list of those that may spill`,
        );
    }
    for (const { symbol, text } of remarks) {
      const name = kernels.find((kernel) => kernel.symbol === symbol)?.name;
      problems.push(`${file}: ${name ?? 'a kernel'}: ${text}`);
    }
  }
  return problems;
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
