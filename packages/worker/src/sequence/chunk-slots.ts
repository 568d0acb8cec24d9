import { LongscanError } from '@longscan/kernels';
import type { SliceRange } from './slice-group.js';

/**
 * Slices in chunks; the last one may be cut short by the end of the sequence.
 * @throws LongscanError E-SHAPE if a slice begins inside a chunk
 */
export function chunkSlots(slices: readonly SliceRange[], chunk: number): SliceRange[] {
  return slices.map(({ start, length }) => {
    if (start % chunk !== 0) throw brokenChunk(start, chunk);
    return { start: start / chunk, length: Math.ceil(length / chunk) };
  });
}

function brokenChunk(start: number, chunk: number): LongscanError {
  return new LongscanError({
    code: 'E-SHAPE',
    where: 'attention over chunks',
    found: `a slice that begins at token ${start}`,
    expected: `a multiple of the chunk, ${chunk}`,
    fix: `model.chunk = ${chunk}`,
    exitCode: 2,
  });
}
