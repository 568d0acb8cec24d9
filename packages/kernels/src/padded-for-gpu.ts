import type { Device } from './device.js';

/** Columns for so many numbers: as many, on a GPU the next multiple of 8, which recurrences there want of a head's size. */
export function paddedForGpu({ isGpu }: Device, columns: number): number {
  return isGpu ? Math.ceil(columns / 8) * 8 : columns;
}
