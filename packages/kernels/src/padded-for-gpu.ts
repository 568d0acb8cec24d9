import type { Device } from './device.js';

/** Columns for so many numbers: as many, on a GPU the next multiple of 8, which recurrences there want of a head's size. */
export function paddedForGpu({ kind }: Device, columns: number): number {
  return kind === 'cuda' ? Math.ceil(columns / 8) * 8 : columns;
}
