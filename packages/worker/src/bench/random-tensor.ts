import { copy, type Device, type DType, empty, type Tensor } from '@longscan/kernels';

/** Numbers that are drawn: a prime, so that no row of a tensor is like another when they repeat. */
const period = 65_521;

/**
 * A tensor, f32 or bf16, of `f` at standard normal numbers. They are drawn once and then copied on the device, which may hold a
 * hundred times what JavaScript could make.
 */
export function randomTensor(
  device: Device,
  shape: readonly number[],
  dtype: Extract<DType, 'f32' | 'bf16'>,
  seed: number,
  f: (x: number) => number,
): Tensor {
  const tensor = empty(device, shape, dtype);
  const size = tensor.size;
  const drawn = Float32Array.from(normals(Math.min(size, period), seed), f);
  device.scope(() => {
    tensor.view([drawn.length]).write(dtype === 'bf16' ? bf16Bits(drawn) : drawn);
    for (let filled = drawn.length; filled < size; filled *= 2) {
      const count = Math.min(filled, size - filled);
      copy(tensor.view([count]), tensor.view([count], filled));
    }
  });
  return tensor;
}

/** Standard normal numbers (Box and Muller, over a linear congruential generator). */
function* normals(count: number, seed: number): Generator<number> {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  for (let i = 0; i < count; i++) {
    yield Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  }
}

/** The upper half of each number, cut off: which of two neighbours a random number becomes does not matter. */
function bf16Bits(values: Float32Array): Uint16Array {
  return Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16);
}
