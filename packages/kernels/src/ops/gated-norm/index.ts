import { defineOp } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { expectTypes, wideType } from '../../types-of.js';
import { numSumBlocks, sumRows } from '../sum-rows/index.js';
import './native.js';

export type GateActivation = 'silu' | 'sigmoid';

export type GatedNormInputs = {
  /** [..., D] */
  readonly x: Tensor;
  /** [D], f32 beside x in bf16. */
  readonly weight: Tensor;
  /** [..., D], before its activation. */
  readonly gate: Tensor;
};

/**
 * `rmsNorm(x) · weight · activation(gate)`, the norm over the last dim; same shape as x: how the heads of a recurrence leave a
 * layer. One pass over memory, and one in reverse.
 */
export function gatedNorm(inputs: GatedNormInputs, activation: GateActivation, eps = 1e-6): Tensor {
  return gatedNormOp(inputs, { activation, eps });
}

const gatedNormOp = defineOp<GatedNormInputs, { activation: GateActivation; eps: number }>({
  name: 'gated-norm',
  isCheap: true,
  comesWith: 'gradients',
  forward(call, { x, weight, gate }, { activation, eps }) {
    expectShape('gated-norm', 'weight', weight, [x.dim(-1)]);
    expectShape('gated-norm', 'gate', gate, x.shape);
    expectTypes('gated-norm', { gate }, x.dtype);
    expectTypes('gated-norm', { weight }, wideType(x.dtype));
    const output = call.empty(x.shape, x.dtype);
    const rstd = call.empty(x.shape.slice(0, -1), wideType(x.dtype));
    const isSilu = activation === 'silu';
    call.native.gatedNormForward(call.stream, x.id, gate.id, weight.id, isSilu, eps, output.id, rstd.id);
    call.device.flops += 9 * x.size;
    return { output, save: { x, weight, gate, rstd } };
  },
  backward(call, saved, dy, { activation }) {
    const [x, weight, gate, rstd] = [saved.x!, saved.weight!, saved.gate!, saved.rstd!];
    const dx = call.empty(x.shape, x.dtype);
    const dGate = call.empty(x.shape, x.dtype);
    const numBlocks = numSumBlocks(call.device, rstd.size);
    const blocks = call.needs.weight ? call.empty([numBlocks, weight.size], rstd.dtype) : null;
    call.native.gatedNormBackward(
      call.stream,
      x.id,
      gate.id,
      weight.id,
      activation === 'silu',
      dy.id,
      rstd.id,
      dx.id,
      dGate.id,
      blocks?.id ?? null,
      call.remade?.id ?? null,
    );
    call.device.flops += 20 * x.size;
    const dw =
      blocks &&
      call.weightGradient(weight, [blocks], (target, accumulate) => sumRows(blocks, target, accumulate));
    return { x: dx, weight: dw, gate: dGate };
  },
});
