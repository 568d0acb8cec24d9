import type { Device } from '../device.js';
import { fillNormal } from '../ops/random/index.js';
import { type DType, empty, type Tensor } from '../tensor.js';
import { summarise, type Timing } from './bench.js';

/** Times of what each candidate enqueues, by the GPU's clock: in turns, and enqueued ahead. Two rounds of warm-up are dropped. */
export async function timeOnGpu<N extends string>(
  { compute }: Device,
  candidates: Readonly<Record<N, () => void>>,
  numRounds = 20,
): Promise<Record<N, Timing>> {
  const names = Object.keys(candidates) as N[];
  const pending = Object.fromEntries(names.map((name) => [name, [] as Promise<number>[]])) as Record<
    N,
    Promise<number>[]
  >;
  for (let round = -2; round < numRounds; round++) {
    for (const name of names) {
      const stop = compute.stopwatch();
      candidates[name]();
      const time = stop();
      if (round >= 0) pending[name].push(time);
      else await time;
    }
  }
  const entries = names.map(async (name) => [name, summarise(await Promise.all(pending[name]))] as const);
  return Object.fromEntries(await Promise.all(entries)) as Record<N, Timing>;
}

/** Normal numbers of this deviation: what a product costs depends on its operands, through the GPU's power. */
export function normalOnGpu(
  device: Device,
  shape: readonly number[],
  { dtype = 'bf16', deviation = 1 }: { readonly dtype?: DType; readonly deviation?: number } = {},
): Tensor {
  const single = empty(device, shape);
  fillNormal(single, deviation, [single.id, 0]);
  if (dtype === 'f32') return single;
  const tensor = empty(device, shape, dtype);
  device.native.cast(device.compute.id, single.id, tensor.id);
  single.release();
  return tensor;
}
