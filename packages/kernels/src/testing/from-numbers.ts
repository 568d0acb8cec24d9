import { nearestBf16, widenedBf16 } from '../bf16.js';
import type { Device } from '../device.js';
import { type DType, fromArray, type Tensor } from '../tensor.js';

/** A tensor of plain numbers, rounded to its type (`fromArray` takes bf16 as bit patterns). */
export function fromNumbers(
  device: Device,
  values: ArrayLike<number>,
  shape: readonly number[],
  dtype: DType,
): Tensor {
  return fromArray(device, dtype === 'bf16' ? nearestBf16(values) : values, shape, dtype);
}

/** The numbers as a tensor of this type holds them. */
export function roundedTo(dtype: DType, values: ArrayLike<number>): Float64Array {
  if (dtype === 'f32') return Float64Array.from(Float32Array.from(values));
  if (dtype !== 'bf16') return Float64Array.from(values);
  return Float64Array.from(widenedBf16(nearestBf16(values)));
}
