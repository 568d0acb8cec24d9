import type { KernelResources } from '../resources/ptxas-report.js';

/** What the fake runtime reads of all kernels: a line for each image. */
export function kernelTable(kernels: readonly KernelResources[]): string {
  return kernels
    .map(({ symbol, architecture, registers, sharedBytes }) =>
      [symbol, architecture, registers, sharedBytes].join(' '),
    )
    .join('\n');
}

/** Symbols of the kernels that were launched, from what the fake runtime has written. */
export function launchedSymbols(launches: string): ReadonlySet<string> {
  return new Set(
    launches.split('\n').flatMap((line) => line.split(' ', 1).filter((symbol) => symbol !== '')),
  );
}
