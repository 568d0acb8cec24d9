import { defineOp } from '../../autograd/define-op.js';
import { empty, expectShape, type Tensor } from '../../tensor.js';
import { fill } from '../pointwise/index.js';
import { sumRows } from '../sum-rows/index.js';
import './native.js';

/** `rmsNormBlockRows` in rms_norm.h. */
const blockRows = 64;

/**
 * `x / sqrt(mean(x²) + eps) · weight` over the last dim; x [..., D], weight [D]. Zhang and Sennrich,
 * https://arxiv.org/abs/1910.07467.
 */
export function rmsNorm(inputs: { x: Tensor; weight: Tensor }, eps = 1e-6): Tensor {
  return rmsNormOp(inputs, { eps });
}

/**
 * `x / sqrt(Σ x² + eps)` over the last dim; same shape as x. It is the RMS norm with eps / D and all weights 1 / √D.
 */
export function l2Norm(x: Tensor, eps = 1e-6): Tensor {
  const cols = x.dim(-1);
  const weight = empty(x.device, [cols], x.dtype);
  fill(weight, 1 / Math.sqrt(cols));
  return rmsNorm({ x, weight }, eps / cols);
}

const rmsNormOp = defineOp<{ x: Tensor; weight: Tensor }, { eps: number }>({
  name: 'rms-norm',
  isCheap: true,
  forward(call, { x, weight }, { eps }) {
    expectShape('rms-norm', 'weight', weight, [x.dim(-1)]);
    const output = call.empty(x.shape, x.dtype);
    const rstd = call.empty(x.shape.slice(0, -1), x.dtype);
    call.native.rmsNormForward(call.stream, x.id, weight.id, eps, output.id, rstd.id);
    call.device.flops += 4 * x.size;
    return { output, save: { x, weight, rstd } };
  },
  backward(call, saved, dy) {
    const [x, weight, rstd] = [saved.x!, saved.weight!, saved.rstd!];
    const dx = call.empty(x.shape, x.dtype);
    const numBlocks = Math.ceil(rstd.size / blockRows);
    const blocks = call.needs.weight ? call.empty([numBlocks, weight.size], x.dtype) : null;
    call.native.rmsNormBackward(call.stream, dy.id, x.id, weight.id, rstd.id, dx.id, blocks?.id ?? null);
    call.device.flops += 10 * x.size;
    const dw =
      blocks === null
        ? null
        : call.weightGradient(weight, [blocks], (target, accumulate) => sumRows(blocks, target, accumulate));
    return { x: dx, weight: dw };
  },
});
