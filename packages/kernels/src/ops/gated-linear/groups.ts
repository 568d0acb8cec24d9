import type { ForwardCall } from '../../autograd/define-op.js';
import type { Tensor } from '../../tensor.js';
import '../broadcast/native.js';
import { sumRows } from '../sum-rows/index.js';

/** Shape of what each of H heads has in place of x [B, T, G, K]. */
export function perHead(x: Tensor, H: number): number[] {
  return [x.dim(0), x.dim(1), H, x.dim(3)];
}

/** The gradient of x [B, T, G, K] from its heads' shares [B, T, H, K]. */
export function sumOfGroup(call: ForwardCall, shares: Tensor, x: Tensor): Tensor {
  if (shares.size === x.size) return shares;
  const sum = call.empty(x.shape, x.dtype);
  call.native.sumRepeats(call.stream, shares.id, sum.id);
  call.device.flops += shares.size;
  return sum;
}

/** Shares [B, H·K] of the gradient of u [H, K]. */
export function sumOverBatch(call: ForwardCall, shares: Tensor, u: Tensor): Tensor {
  const sum = call.empty([u.size], u.dtype);
  sumRows(shares, sum, false);
  return sum.view(u.shape);
}
