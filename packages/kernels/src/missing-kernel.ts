import { LongscanError } from './errors.js';

/** What is thrown where an op has no CUDA kernel for something that its CPU kernels can do. */
export function missingKernel(op: string, what: string): LongscanError {
  return new LongscanError({
    code: 'E-CUDA-KERNEL',
    where: op,
    found: `no CUDA kernel for ${what}`,
    fix: 'run it on the CPU (device.kind = "cpu")',
    exitCode: 2,
  });
}
