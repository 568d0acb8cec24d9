import type { Training } from './train-step.js';

/**
 * Milliseconds that compute has waited for sequence-parallel communication so far: the difference of two readings is what was
 * exposed between them. Null on a GPU, where streams wait for each other without the host and nobody takes the time of that.
 */
export function spWaitedMs({ device, mesh }: Pick<Training, 'device' | 'mesh'>): number | null {
  return device.kind === 'cuda' ? null : (mesh.sp?.stream.waitedMs() ?? 0);
}
