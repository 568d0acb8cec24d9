import {
  addTailGradient,
  copy,
  empty,
  fill,
  forwardCall,
  sequenceTail,
  type Tensor,
} from '@longscan/kernels';
import type { SliceWithHalo } from './halo.js';

/**
 * Deterministic mode: a slice with the tokens before each of its units, [1, units · numRows, D], so that gradients meet at
 * the same places whatever rank a unit is on. Zeros where nothing comes before. Otherwise `slice` as it is. The x of the
 * result must go into one op only, as that of `withHalo`.
 */
export function haloOfUnits(slice: SliceWithHalo, numRows: number, resets: Tensor | null): SliceWithHalo {
  const { x, halo } = slice;
  const { device, dtype } = x;
  const { units } = device;
  if (units === null || numRows === 0) return slice;
  const call = forwardCall(device);
  const haloShape = [1, numRows, x.dim(2)];
  const halos = units.mark(empty(device, [1, units.count * numRows, x.dim(2)], dtype));
  const own = units.map((unit) => ({
    resets: units.pieceOrWhole(resets, unit),
    halo: units.slot(halos, haloShape, unit),
  }));
  if (halo === null) fill(own[0]!.halo, 0);
  else copy(halo, own[0]!.halo);
  for (let unit = 1; unit < units.count; unit++) {
    const before = { x: units.piece(x, unit - 1), ...own[unit - 1]! };
    copy(sequenceTail(call, before, numRows), own[unit]!.halo);
  }
  const { tape } = device;
  const result = { x: units.mark(x.view(x.shape)), halo: halos };
  if (tape === null || !x.requiresGrad) return result;
  tape.record({
    name: 'halo of units',
    inputs: halo === null ? [x] : [x, halo],
    outputs: [result.x, halos],
    saved: own.flatMap(({ resets }) => (resets === null ? [] : [resets])),
    backward: ([dx, dHalos]) => {
      const haloGradient = (unit: number) => units.slot(dHalos!, haloShape, unit);
      for (let unit = units.count - 1; unit > 0; unit--) {
        const { resets } = own[unit - 1]!;
        const target = { x: units.piece(dx!, unit - 1), halo: haloGradient(unit - 1), resets };
        addTailGradient(call, target, haloGradient(unit));
      }
      return [dx!, haloGradient(0)];
    },
  });
  return result;
}
