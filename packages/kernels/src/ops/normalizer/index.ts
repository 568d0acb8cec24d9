import { defineOp } from '../../autograd/define-op.js';
import type { Tensor } from '../../tensor.js';
import './native.js';

function withLastDim(tensor: Tensor, cols: number): number[] {
  return [...tensor.shape.slice(0, -1), cols];
}

/** v [..., V] to [..., V + 1] with a last column of ones: a recurrence over it also carries the normaliser. */
export const appendOnes: (v: Tensor) => Tensor = (v) => appendOnesOp({ v }, {});

const appendOnesOp = defineOp<{ v: Tensor }>({
  name: 'append-ones',
  forward(call, { v }) {
    const output = call.empty(withLastDim(v, v.dim(-1) + 1), v.dtype);
    call.native.widenRows(call.stream, v.id, 1, output.id);
    return { output, save: {} };
  },
  backward(call, _saved, dWide) {
    const dv = call.empty(withLastDim(dWide, dWide.dim(-1) - 1), dWide.dtype);
    call.native.narrowRows(call.stream, dWide.id, dv.id);
    return { v: dv };
  },
});

/**
 * o [..., V + 1] to [..., V]: divides by the last column z, the normaliser of linear attention
 * (https://arxiv.org/abs/2006.16236). Where |z| < eps it is taken to be ±eps, and gets no gradient.
 */
export function normalizeLast(o: Tensor, eps = 1e-6): Tensor {
  return normalizeLastOp({ o }, { eps });
}

const normalizeLastOp = defineOp<{ o: Tensor }, { eps: number }>({
  name: 'normalize-last',
  forward(call, { o }, { eps }) {
    const output = call.empty(withLastDim(o, o.dim(-1) - 1), o.dtype);
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
