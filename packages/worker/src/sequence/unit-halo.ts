import {
  copy,
  empty,
  fill,
  forwardCall,
  type Sequence,
  sequenceTail,
  type Tensor,
  type TokenUnits,
} from '@longscan/kernels';

/**
 * Deterministic mode: a slice with the tokens before each of its units, [1, units · numRows, D], so that gradients meet at
 * the same places whatever rank a unit is on. Zeros where nothing comes before.
 */
export function haloOfUnits(
  units: TokenUnits,
  { x, halo, resets }: Sequence,
  numRows: number,
): { readonly x: Tensor; readonly halo: Tensor } {
  const { device, dtype } = x;
  const halos = units.mark(empty(device, [1, units.count * numRows, x.dim(2)], dtype));
  const own = cutSequence(units, { x, halo: halos, resets }, numRows);
  if (halo === null) fill(own[0]!.halo, 0);
  else copy(halo, own[0]!.halo);
  for (let unit = 1; unit < units.count; unit++) {
    copy(sequenceTail(forwardCall(device), own[unit - 1]!, numRows), own[unit]!.halo);
  }
  return { x, halo: halos };
}

/** Each unit of a slice and the tokens before it. */
export function cutSequence(
  units: TokenUnits,
  { x, halo, resets }: Sequence,
  numRows: number,
): (Sequence & { readonly halo: Tensor })[] {
  return units.map((unit) => ({
    x: units.piece(x, unit),
    halo: units.slot(halo!, [1, numRows, x.dim(2)], unit),
    resets: units.pieceOrWhole(resets, unit),
  }));
}
