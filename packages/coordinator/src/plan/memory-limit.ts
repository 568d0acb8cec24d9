import { usablePart } from '@longscan/worker';
import { type JobSpec, parseMemory } from '@longscan/worker/protocol';
import { formatBytes } from '../format.js';
import { availableMemory } from './host-memory.js';

/** What a rank may have. */
export interface MemoryLimit {
  readonly bytes: number;
  /** Where that comes from. */
  readonly reason: string;
}

/** Of GPUs that presets of fabrics name, by nvidia-smi. */
const gpuBytes: Readonly<Record<string, number>> = {
  h100: 81_559 * 2 ** 20,
  h200: 143_771 * 2 ** 20,
  'h200-vm': 143_771 * 2 ** 20,
};

/**
 * Memory that each rank of a job may have, by `device.memory`; null: not known here, since only ranks ask GPUs. `available`:
 * what this host has left, on which all ranks run.
 */
export function memoryLimit(
  { device, parallel }: Pick<JobSpec, 'device' | 'parallel'>,
  available: () => number = availableMemory,
): MemoryLimit | null {
  const given = parseMemory(device.memory);
  if (given !== null) return { bytes: given, reason: `device.memory = "${device.memory}"` };
  if (device.kind === 'cuda') {
    const bytes = gpuBytes[parallel.fabric];
    if (bytes === undefined) return null;
    const percent = Math.round(100 * usablePart);
    return { bytes: usablePart * bytes, reason: `${percent} % of a GPU of fabric "${parallel.fabric}"` };
  }
  const numRanks = parallel.sp * parallel.dp;
  const bytes = available();
  return {
    bytes: bytes / numRanks,
    reason: `${formatBytes(bytes)} that this host has available, over ${numRanks} ${numRanks === 1 ? 'rank' : 'ranks'}`,
  };
}
