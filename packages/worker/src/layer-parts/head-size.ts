import { LongscanError } from '@longscan/kernels';

/** Size of one head of a projection to `expand` times the model width. @throws LongscanError E-SHAPE unless it is whole. */
export function headSize(
  layer: string,
  option: string,
  expand: number,
  dModel: number,
  numHeads: number,
): number {
  const size = (expand * dModel) / numHeads;
  if (Number.isInteger(size) && size >= 1 && Number.isInteger(numHeads) && numHeads >= 1) return size;
  throw new LongscanError({
    code: 'E-SHAPE',
    where: `layer ${layer}`,
    found: `${option} × model.dModel / numHeads = ${expand} × ${dModel} / ${numHeads} = ${size}`,
    expected: 'a whole number >= 1',
    fix: `choose ${option}, model.dModel or numHeads so that it divides`,
    exitCode: 2,
  });
}
