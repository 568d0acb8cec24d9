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

/**
 * Clipping by the global norm, decided on the stream without asking the host: a tensor [3], f64, that `adamw` reads. `sums`: of the
 * squares of all gradients, [n] in f64, added in their order.
 * `maxNorm` Infinity: no clipping. See `readClip`.
 *
 * `previous`: what was decided a step before. Where that found a norm that is not finite, so does this, whatever the sum: with
 * steps under way that the host has not looked at, nothing is changed from the first bad gradient on until it has.
 */
export function clipFactor(sums: Tensor, maxNorm: number, previous: Tensor | null = null): Tensor {
  const { device } = sums;
  const clip = empty(device, [3], 'f64');
  device.native.clipFactor(device.compute.id, sums.id, maxNorm, previous?.id ?? null, clip.id);
  return clip;
}

/** What `clipFactor` decided. */
export interface Clip {
  /** The gradient is multiplied by this; 0 unless `isFinite`. */
  readonly factor: number;
  /** The gradient's norm before clipping. */
  readonly norm: number;
  /** False: some gradient, of this step or one before it, is NaN or infinite, and `adamw` leaves everything as it is. */
  readonly isFinite: boolean;
}

/** Reads `clipFactor`'s tensor to the host. */
export async function readClip(clip: Tensor): Promise<Clip> {
  const [factor, norm, finite] = await clip.readNumbers();
  return { factor: factor!, norm: norm!, isFinite: finite === 1 };
}
