import { usablePart } from '@longscan/worker';
import { memoryLimit } from '../plan/memory-limit.js';
import type { Gpu } from './gpus.js';

/** What is free now on the fullest GPU that a rank gets, or what `device.memory` allows if that is less. */
export function limitOnGpus(gpus: readonly Gpu[]): typeof memoryLimit {
  return (job) => {
    const numRanks = job.parallel.sp * job.parallel.dp;
    const used = gpus.slice(0, numRanks);
    const free = Math.min(...used.map((gpu) => Math.min(gpu.freeBytes, usablePart * gpu.totalBytes)));
    const perGpu = Math.ceil(numRanks / used.length);
    const shared = perGpu === 1 ? '' : `, over ${perGpu} ranks`;
    const here = {
      bytes: free / perGpu,
      reason: `what tensors can have now of the GPU with least free${shared}`,
    };
    const given = memoryLimit(job);
    return given !== null && given.bytes < here.bytes ? given : here;
  };
}
