import type { Stream } from '../../stream.js';
import { empty, type Tensor } from '../../tensor.js';
import './native.js';

/**
 * `Σ gradient²` of each of some flat buffers on one device: a tensor [n], f64. Ranks that hold different parts add theirs
 * (all-reduce) before `clipFactor`. Summed in fixed blocks, then in a fixed order: the same bits for every number of threads, and in
 * every run.
 */
export function sumOfSquares(...gradients: readonly [Tensor, ...Tensor[]]): Tensor {
  const { device } = gradients[0];
  const sums = empty(device, [gradients.length], 'f64');
  for (const [i, gradient] of gradients.entries()) {
    device.native.sumOfSquares(device.compute.id, gradient.id, sums.view([1], i).id);
    device.flops += 2 * gradient.size;
  }
  return sums;
}

/** The sum of what `adamw` has summed in parts, f64 [n]: a tensor [1], f64. The same bits in every run. */
export function sumOfParts(parts: Tensor, stream: Stream = parts.device.compute): Tensor {
  const { device } = parts;
  const sum = empty(device, [1], 'f64', stream);
  device.native.sumOfParts(stream.id, parts.id, sum.id);
  device.flops += parts.size;
  return sum;
}

/**
 * Clipping by the global norm, decided on the stream without asking the host: a tensor [3], f64, that `adamw` reads. `sums`: of the
 * squares of all gradients, [n] in f64, added in their order.
 * `maxNorm` Infinity: no clipping. See `readClip`.
 *
 * `previous`: what was decided a step before. Where that found a norm that is not finite, so does this, whatever the sum: with
 * steps under way that the host has not looked at, nothing is changed from the first bad gradient on until it has (from the step after
 * it, where `adamw` sums the squares itself and is given what was decided before).
 */
export function clipFactor(
  sums: Tensor,
  maxNorm: number,
  previous: Tensor | null = null,
  stream: Stream = sums.device.compute,
): Tensor {
  const { device } = sums;
  const clip = empty(device, [3], 'f64', stream);
  device.native.clipFactor(stream.id, sums.id, maxNorm, previous?.id ?? null, clip.id);
  return clip;
}

/** What `clipFactor` decided. */
export interface Clip {
  /** The gradient is multiplied by this; 0 unless `isFinite`. */
  readonly factor: number;
  /** The gradient's norm before clipping. */
  readonly norm: number;
  /** False: some gradient, of this step or one before it, is NaN or infinite, and `adamw` that is given this leaves everything as it is. */
  readonly isFinite: boolean;
}

/** Reads `clipFactor`'s tensor, which was made on `stream`, to the host. */
export async function readClip(clip: Tensor, stream: Stream = clip.device.compute): Promise<Clip> {
  const [factor, norm, finite] = await clip.read(stream);
  return { factor: factor!, norm: norm!, isFinite: finite === 1 };
}
