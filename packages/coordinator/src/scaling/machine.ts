import { readdirSync } from 'node:fs';
import { totalmem } from 'node:os';
import { z } from 'zod';
import { describeMachine as describeHost, thisMachine as thisHost } from '../fabric/machine.js';

/** Where a curve was measured. Not the host's name: a container gets a new one at every start. */
export const machineSchema = z.strictObject({
  cpu: z.string(),
  /** That this process may use. */
  cores: z.int().min(1),
  memoryGiB: z.number(),
  platform: z.string(),
  node: z.string(),
});

export type Machine = z.infer<typeof machineSchema>;

export function thisMachine(): Machine {
  const { cpu, cores } = thisHost();
  return {
    ...{ cpu, cores },
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
  };
}

export function describeMachine({ cpu, cores, memoryGiB, platform }: Machine): string {
  return `${describeHost({ host: null, cpu, cores })}, ${memoryGiB} GiB, ${platform}`;
}

/** GPUs that ranks on this host will see, as far as this process can tell without the native library; null: it cannot. */
export function visibleGpus(env: NodeJS.ProcessEnv = process.env): number | null {
  const chosen = env.CUDA_VISIBLE_DEVICES;
  if (chosen !== undefined) return chosen.split(',').filter((name) => name.trim() !== '').length;
  try {
    return readdirSync('/dev').filter((name) => /^nvidia\d+$/.test(name)).length || null;
  } catch {
    return null;
  }
}
