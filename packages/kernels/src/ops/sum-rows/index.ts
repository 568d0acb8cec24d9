import type { Device } from '../../device.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

/**
 * `target (+)= Σ_rows x` for x [..., cols] and target [cols], outside of autograd: the gradient of whatever is the same
 * for every token. The result does not depend on the number of threads.
 */
export function sumRows(x: Tensor, target: Tensor, accumulate: boolean): void {
  expectShape('sumRows', 'target', target, [x.dim(-1)]);
  target.device.native.sumRows(target.device.compute.id, x.id, target.id, accumulate);
}

/**
 * How many partial sums over `rows` rows a norm's backward pass leaves for `sumRows`: on CPUs one for each 64 rows, as the
 * norms' headers have it; on GPUs one for each block of threads, two on each multiprocessor of the largest.
 */
export function numSumBlocks(device: Device, rows: number): number {
  return device.isGpu ? Math.min(Math.max(1, Math.ceil(rows / 16)), 264) : Math.ceil(rows / 64);
}
