import { defineOp } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { expectTypes, wideType } from '../../types-of.js';
import { numSumBlocks, sumRows } from '../sum-rows/index.js';
import './native.js';

type LayerNormInputs = { readonly x: Tensor; readonly weight: Tensor; readonly bias: Tensor | null };

/**
 * `(x - mean) / sqrt(var + eps) · weight + bias` over the last dim of x, the variance divided by its size (Ba et al.,
 * https://arxiv.org/abs/1607.06450). weight and bias [D] for x [.., D]; or [H, V] for x [.., H, V], which is the group
 * norm of H groups with its weight per channel. weight and bias are f32 beside x in bf16.
 */
export function layerNorm(inputs: LayerNormInputs, eps = 1e-5): Tensor {
  const { x, weight, bias } = inputs;
  expectShape('layer-norm', 'weight', weight, x.shape.slice(-weight.shape.length));
  if (bias !== null) expectShape('layer-norm', 'bias', bias, weight.shape);
  expectTypes('layer-norm', { weight, bias }, wideType(x.dtype));
  return layerNormOp({ x, weight, bias }, { eps });
}

const layerNormOp = defineOp<LayerNormInputs, { eps: number }>({
  name: 'layer-norm',
  isCheap: true,
  forward(call, { x, weight, bias }, { eps }) {
    const output = call.empty(x.shape, x.dtype);
    const stats = call.empty([x.size / x.dim(-1), 2], wideType(x.dtype));
    call.native.layerNormForward(call.stream, x.id, weight.id, bias?.id ?? null, eps, output.id, stats.id);
    call.device.flops += 7 * x.size;
    return { output, save: { x, weight, bias, stats } };
  },
  backward(call, saved, dy) {
    const [x, weight, stats] = [saved.x!, saved.weight!, saved.stats!];
    const dx = call.empty(x.shape, x.dtype);
    const numBlocks = numSumBlocks(call.device, x.size / weight.size);
    const blocksFor = (wanted: boolean) =>
      wanted ? call.empty([numBlocks, weight.size], stats.dtype) : null;
    const dwBlocks = blocksFor(call.needs.weight);
    const dbBlocks = blocksFor(call.needs.bias);
    call.native.layerNormBackward(
      call.stream,
      dy.id,
      x.id,
      weight.id,
      stats.id,
      dx.id,
      dwBlocks?.id ?? null,
      dbBlocks?.id ?? null,
    );
    call.device.flops += 16 * x.size;
    const total = (blocks: Tensor | null, parameter: Tensor | null) =>
      blocks &&
      call.weightGradient(parameter!, [blocks], (target, accumulate) => {
        sumRows(blocks, target.view([target.size]), accumulate);
      });
    return { x: dx, weight: total(dwBlocks, weight), bias: total(dbBlocks, saved.bias ?? null) };
  },
});
