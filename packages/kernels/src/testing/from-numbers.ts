import type { Device } from '../device.js';
import { type DType, fromArray, type Tensor } from '../tensor.js';

/** A tensor of plain numbers, rounded to its type (`fromArray` takes bf16 as bit patterns). */
export function fromNumbers(
  device: Device,
  values: ArrayLike<number>,
  shape: readonly number[],
  dtype: DType,
): Tensor {
  return fromArray(device, dtype === 'bf16' ? bf16Bits(values) : values, shape, dtype);
}

/** The numbers as a tensor of this type holds them. */
export function roundedTo(dtype: DType, values: ArrayLike<number>): Float64Array {
  if (dtype === 'f32') return Float64Array.from(Float32Array.from(values));
  if (dtype !== 'bf16') return Float64Array.from(values);
  return Float64Array.from(
    new Float32Array(Uint32Array.from(bf16Bits(values), (bits) => bits * 65536).buffer),
  );
}

/** The upper halves of the numbers in f32, rounded to nearest, ties to even; NaN stays NaN. */
function bf16Bits(values: ArrayLike<number>): Uint16Array {
  const bits = new Uint32Array(Float32Array.from(values).buffer);
  return Uint16Array.from(bits, (word, i) => {
    if (Number.isNaN(values[i])) return 0x7fc0;
    return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  });
}
