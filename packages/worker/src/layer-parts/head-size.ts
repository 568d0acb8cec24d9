import { LongscanError } from '@longscan/kernels';
import { largestCount } from './layer-options.js';

/** Size of one head of a projection to `expand` times the model width. @throws LongscanError E-SHAPE unless it is whole. */
export function headSize(
  layer: string,
  option: string,
  expand: number,
  dModel: number,
  numHeads: number,
): number {
  const size = (expand * dModel) / numHeads;
  const isCount = Number.isInteger(size) && size >= 1 && size <= largestCount;
  if (isCount && Number.isInteger(numHeads) && numHeads >= 1) return size;
  const found = `${option} × model.dModel / numHeads = ${expand} × ${dModel} / ${numHeads} = ${size}`;
  throw refused(layer, found, `a whole number from 1 to ${largestCount}`, option);
}

/** That of heads whose numbers are turned in pairs, by rotary positions. @throws LongscanError E-SHAPE unless it is even. */
export function expectPairs(layer: string, option: string, size: number): void {
  if (size % 2 !== 0) throw refused(layer, `heads of ${size}`, 'an even size, for rotary positions', option);
}

function refused(layer: string, found: string, expected: string, option: string): LongscanError {
  const fix = `choose ${option}, model.dModel or numHeads so that it fits`;
  return new LongscanError({ code: 'E-SHAPE', where: `layer ${layer}`, found, expected, fix, exitCode: 2 });
}
