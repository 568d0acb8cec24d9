import { defineOp } from '../../autograd/define-op.js';
import { paddedForGpu } from '../../padded-for-gpu.js';
import type { Tensor } from '../../tensor.js';
import './native.js';

function withLastDim(tensor: Tensor, cols: number): number[] {
  return [...tensor.shape.slice(0, -1), cols];
}

/**
 * v [..., V] to [..., V + 1] with a last column of ones: a recurrence over it also carries the normaliser. On a GPU zeros
 * follow, up to a multiple of 8, which the recurrences there want of a head's size.
 */
export const appendOnes: (v: Tensor) => Tensor = (v) => appendOnesOp({ v }, { size: v.dim(-1) });

const appendOnesOp = defineOp<{ v: Tensor }, { size: number }>({
  name: 'append-ones',
  forward(call, { v }, { size }) {
    const output = call.empty(withLastDim(v, paddedForGpu(call.device, size + 1)), v.dtype);
    call.native.widenRows(call.stream, v.id, 1, output.id);
    return { output, save: {} };
  },
  backward(call, _saved, dWide, { size }) {
    const dv = call.empty(withLastDim(dWide, size), dWide.dtype);
    call.native.narrowRows(call.stream, dWide.id, dv.id);
    return { v: dv };
  },
});

/**
 * o [..., V + 1] to [..., V], V = `size`: divides by the column after those, z, the normaliser of linear attention
 * (https://arxiv.org/abs/2006.16236). Where |z| < eps it is taken to be ±eps, and gets no gradient. On a GPU further columns
 * may follow, as `appendOnes` made them.
 */
export function normalizeLast(o: Tensor, size: number, eps = 1e-6): Tensor {
  return normalizeLastOp({ o }, { size, eps });
}

const normalizeLastOp = defineOp<{ o: Tensor }, { size: number; eps: number }>({
  name: 'normalize-last',
  forward(call, { o }, { size, eps }) {
    const output = call.empty(withLastDim(o, size), o.dtype);
    call.native.normalizeForward(call.stream, o.id, eps, output.id);
    call.device.flops += output.size;
    return { output, save: { o } };
  },
  backward(call, { o }, dy, { eps }) {
    const outputGradient = call.empty(o!.shape, o!.dtype);
    call.native.normalizeBackward(call.stream, dy.id, o!.id, eps, outputGradient.id);
    call.device.flops += 3 * dy.size;
    return { o: outputGradient };
  },
});
