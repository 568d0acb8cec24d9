import { totalmem } from 'node:os';
import { join } from 'node:path';
import { groupsOf, type KernelFiles, kernelFiles, readKernelFile } from './control-groups.js';

/**
 * Bytes of this host's memory that processes can still have: what the kernel calls available, or less where a control group
 * (a container's) allows less. Pages of files count as free. Where no kernel says so, all of the memory.
 */
export function availableMemory(files: KernelFiles = kernelFiles): number {
  const available = numbersOf(join(files.proc, 'meminfo')).get('MemAvailable');
  const host = available === undefined ? totalmem() : 1024 * available;
  return Math.max(0, Math.min(host, ...groupsOf(files).map(roomOf)));
}

/** What a control group may still take. */
function roomOf(group: string): number {
  const limit = Number(readKernelFile(join(group, 'memory.max')) ?? 'max');
  if (Number.isNaN(limit)) return Number.POSITIVE_INFINITY;
  const used = Number(readKernelFile(join(group, 'memory.current')) ?? 0);
  const kinds = numbersOf(join(group, 'memory.stat'));
  // Memory that processes share looks like a file, but cannot be dropped.
  const droppable = (kinds.get('file') ?? 0) - (kinds.get('shmem') ?? 0);
  return limit - used + droppable;
}

/** Lines of a name and a number. */
function numbersOf(path: string): Map<string, number> {
  const lines = (readKernelFile(path) ?? '').matchAll(/^(\w+):?\s+(\d+)/gm);
  return new Map(Array.from(lines, ([, name, number]) => [name!, Number(number)]));
}
