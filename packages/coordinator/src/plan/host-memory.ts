import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { dirname, join } from 'node:path';

/** Where the kernel says what there is; other roots for tests. */
export interface KernelFiles {
  readonly proc: string;
  readonly cgroup: string;
}

const kernelFiles: KernelFiles = { proc: '/proc', cgroup: '/sys/fs/cgroup' };

/**
 * Bytes of this host's memory that processes can still have: what the kernel calls available, or less where a control group
 * (a container's) allows less. Pages of files count as free. Where no kernel says so, all of the memory.
 */
export function availableMemory(files: KernelFiles = kernelFiles): number {
  const available = numbersOf(join(files.proc, 'meminfo')).get('MemAvailable');
  const host = available === undefined ? totalmem() : 1024 * available;
  return Math.max(0, Math.min(host, ...groupsOf(files).map(roomOf)));
}

/** Folders of this process's control group and those around it (cgroup v2). */
function groupsOf({ proc, cgroup }: KernelFiles): string[] {
  const path = /^0::(\/.*)$/m.exec(read(join(proc, 'self/cgroup')) ?? '')?.[1];
  if (path === undefined) return [];
  const groups: string[] = [];
  for (let group = path; ; group = dirname(group)) {
    groups.push(join(cgroup, group));
    if (group === '/') return groups;
  }
}

/** What a control group may still take. */
function roomOf(group: string): number {
  const limit = Number(read(join(group, 'memory.max')) ?? 'max');
  if (Number.isNaN(limit)) return Number.POSITIVE_INFINITY;
  const used = Number(read(join(group, 'memory.current')) ?? 0);
  const kinds = numbersOf(join(group, 'memory.stat'));
  // Memory that processes share looks like a file, but cannot be dropped.
  const droppable = (kinds.get('file') ?? 0) - (kinds.get('shmem') ?? 0);
  return limit - used + droppable;
}

/** Lines of a name and a number. */
function numbersOf(path: string): Map<string, number> {
  const lines = (read(path) ?? '').matchAll(/^(\w+):?\s+(\d+)/gm);
  return new Map(Array.from(lines, ([, name, number]) => [name!, Number(number)]));
}

/** Null: there is no such file. */
function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
}
