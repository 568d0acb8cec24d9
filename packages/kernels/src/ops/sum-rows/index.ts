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
