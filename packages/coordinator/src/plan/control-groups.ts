import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Where the kernel says what there is; other roots for tests. */
export interface KernelFiles {
  readonly proc: string;
  readonly cgroup: string;
}

export const kernelFiles: KernelFiles = { proc: '/proc', cgroup: '/sys/fs/cgroup' };

/** Folders of this process's control group and those around it (cgroup v2). */
export function groupsOf({ proc, cgroup }: KernelFiles): string[] {
  const path = /^0::(\/.*)$/m.exec(readKernelFile(join(proc, 'self/cgroup')) ?? '')?.[1];
  if (path === undefined) return [];
  const groups: string[] = [];
  for (let group = path; ; group = dirname(group)) {
    groups.push(join(cgroup, group));
    if (group === '/') return groups;
  }
}

/** Cores' worth of time that this process may use, where a control group limits it; else null. */
export function coreQuota(files: KernelFiles = kernelFiles): number | null {
  const quotas = groupsOf(files).flatMap((group) => {
    const [time, period] = (readKernelFile(join(group, 'cpu.max')) ?? 'max').split(' ').map(Number);
    return Number.isFinite(time) && period !== undefined ? [time! / period] : [];
  });
  return quotas.length === 0 ? null : Math.min(...quotas);
}

/** Null: there is no such file. */
export function readKernelFile(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
}
