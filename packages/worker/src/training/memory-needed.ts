import type { Plan } from '../protocol/plan.js';

/** Part of a GPU's memory that tensors can have: the rest is CUDA's, the libraries' and the kernels'. */
export const usablePart = 0.92;

/**
 * What a rank's process takes beside tensors: Node, this code, the libraries, batches. Measured on CPUs, 111 to 139 MiB
 * (docs/benchmarks/cpu-plan-memory_2-core-epyc_2026-11.md).
 */
export const processBytes = 128 * 2 ** 20;

/**
 * Memory that a rank of a plan must have. On a GPU, where a tensor does not fit, the allocator gives back what is free and
 * tries again; a host never says no, so there all that was ever taken counts, and the process.
 */
export function neededBytes({ jobSpec, perRank }: Plan): number {
  return jobSpec.device.kind === 'cuda' ? perRank.peakBytes : perRank.reservedBytes + processBytes;
}

/** Of what a rank's peak consists, as `parameters 4.7 MiB, …`; what there is none of is left out. */
export function describePeak({ perRank }: Plan): string {
  const parts = [
    ['parameters', perRank.parameterBytes],
    ['gradients', perRank.gradientBytes],
    ['optimizer', perRank.optimizerBytes],
    ['activations', perRank.activationBytes],
    ['communication', perRank.communicationBytes],
  ] as const;
  const present = parts.filter(([, bytes]) => bytes > 0);
  return present.map(([name, bytes]) => `${name} ${describeBytes(bytes)}`).join(', ');
}

/** `1.5 GiB`, `20.0 MiB`, `48.0 KiB` */
export function describeBytes(bytes: number): string {
  const units = ['KiB', 'MiB', 'GiB', 'TiB'] as const;
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10) - 1));
  return `${(bytes / 1024 ** (power + 1)).toFixed(1)} ${units[power]}`;
}
