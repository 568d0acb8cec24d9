import {
  type BackwardCall,
  defineOp,
  defineOpOfSeveral,
  type ForwardCall,
  forwardCall,
  type OpInputs,
} from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { expectTypes, wideType } from '../../types-of.js';
import { numSumBlocks, sumRows } from '../sum-rows/index.js';
import './native.js';

/**
 * `x / sqrt(mean(x²) + eps) · weight` over the last dim; x [..., D], weight [D], f32 beside x in bf16. Zhang and Sennrich,
 * https://arxiv.org/abs/1910.07467.
 */
export function rmsNorm(inputs: { x: Tensor; weight: Tensor }, eps = 1e-6): Tensor {
  return rmsNormOp(inputs, { eps });
}

/** `x / sqrt(Σ x² + eps)` over the last dim; same shape as x. */
export function l2Norm(x: Tensor, eps = 1e-6): Tensor {
  return l2NormOp({ x }, { eps });
}

export type ResidualNormInputs = {
  /** [..., D], what runs past the blocks of a model. */
  readonly x: Tensor;
  /** [..., D], what is added to it; null: nothing. */
  readonly branch: Tensor | null;
  /** [D] */
  readonly weight: Tensor;
};

/**
 * `stream = x + branch` and `normed = rmsNorm(stream)`, both [..., D]: one pass over memory, and one in reverse, in which the
 * gradients of both meet.
 */
export function residualNorm(inputs: ResidualNormInputs, eps = 1e-6): { stream: Tensor; normed: Tensor } {
  const [stream, normed] = residualNormOp(inputs, { eps }) as [Tensor, Tensor];
  return { stream, normed };
}

const rmsNormOp = defineOp<{ x: Tensor; weight: Tensor }, { eps: number }>({
  name: 'rms-norm',
  isCheap: true,
  comesWith: 'gradients',
  forward(call, { x, weight }, { eps }) {
    expectShape('rms-norm', 'weight', weight, [x.dim(-1)]);
    expectTypes('rms-norm', { weight }, wideType(x.dtype));
    const { y, rstd } = forward(call, { x, branch: null, weight, sum: null }, eps);
    return { output: y, save: { x, weight, rstd } };
  },
  backward: (call, { x, weight, rstd }, dy) =>
    weightedBackward(call, { dy, x: x!, rstd: rstd!, dSum: null }, weight!),
});

const l2NormOp = defineOp<{ x: Tensor }, { eps: number }>({
  name: 'l2-norm',
  isCheap: true,
  comesWith: 'gradients',
  forward(call, { x }, { eps }) {
    const { y, rstd } = forward(call, { x, branch: null, weight: null, sum: null }, eps);
    return { output: y, save: { x, rstd } };
  },
  backward: (call, { x, rstd }, dy) => ({
    x: backward(call, { dy, x: x!, rstd: rstd!, dSum: null }, null, null),
  }),
});

const residualNormOp = defineOpOfSeveral<ResidualNormInputs, { eps: number }>({
  name: 'residual-norm',
  forward(call, { x, branch, weight }, { eps }) {
    expectShape('residual-norm', 'weight', weight, [x.dim(-1)]);
    if (branch !== null) expectShape('residual-norm', 'branch', branch, x.shape);
    expectTypes('residual-norm', { branch }, x.dtype);
    expectTypes('residual-norm', { weight }, wideType(x.dtype));
    const sum = branch && call.empty(x.shape, x.dtype);
    const { y, rstd } = forward(call, { x, branch, weight, sum }, eps);
    const stream = sum ?? x;
    return { outputs: [stream, y], save: { x: stream, weight, rstd } };
  },
  cheap: ({ weight }, [stream, normed], { eps }) => ({
    output: normed!,
    reads: [stream!, weight],
    comesWith: 'gradients',
    make: () => forward(forwardCall(normed!.device), { x: stream!, branch: null, weight, sum: null }, eps).y,
  }),
  backward(call, saved, gradients) {
    const [dStream, dNormed] = gradients as [Tensor | null, Tensor | null];
    const [x, weight, rstd] = [saved.x!, saved.weight!, saved.rstd!];
    // Nothing has read the normed rows: the stream's gradient is all there is.
    if (dNormed === null) return { x: dStream, branch: dStream };
    const { x: dx, weight: dw } = weightedBackward(call, { dy: dNormed, x, rstd, dSum: dStream }, weight);
    return { x: dx, branch: dx, weight: dw };
  },
});

interface ForwardTensors {
  readonly x: Tensor;
  readonly branch: Tensor | null;
  /** null: an l2 norm. */
  readonly weight: Tensor | null;
  /** Where x + branch goes. */
  readonly sum: Tensor | null;
}

function forward(call: ForwardCall, { x, branch, weight, sum }: ForwardTensors, eps: number) {
  const y = call.empty(x.shape, x.dtype);
  const rstd = call.empty(x.shape.slice(0, -1), wideType(x.dtype));
  call.native.rmsNormForward(
    call.stream,
    x.id,
    branch?.id ?? null,
    weight?.id ?? null,
    eps,
    sum?.id ?? null,
    y.id,
    rstd.id,
  );
  call.device.flops += (branch === null ? 4 : 5) * x.size;
  return { y, rstd };
}

interface BackwardTensors {
  readonly dy: Tensor;
  /** What was normed. */
  readonly x: Tensor;
  readonly rstd: Tensor;
  /** What else reaches x. */
  readonly dSum: Tensor | null;
}

/** The gradient of what was normed; the weight's by blocks of rows goes to `dwBlocks`. */
function backward(
  call: BackwardCall<OpInputs>,
  { dy, x, rstd, dSum }: BackwardTensors,
  weight: Tensor | null,
  dwBlocks: Tensor | null,
): Tensor {
  const dx = call.empty(x.shape, x.dtype);
  call.native.rmsNormBackward(
    call.stream,
    dy.id,
    x.id,
    weight?.id ?? null,
    rstd.id,
    dSum?.id ?? null,
    dx.id,
    dwBlocks?.id ?? null,
    call.remade?.id ?? null,
  );
  call.device.flops += (dSum === null ? 10 : 11) * x.size;
  return dx;
}

function weightedBackward(
  call: BackwardCall<{ weight: Tensor }>,
  tensors: BackwardTensors,
  weight: Tensor,
): { x: Tensor; weight: Tensor | null } {
  const { device, needs } = call;
  const numBlocks = numSumBlocks(device, tensors.rstd.size);
  const blocks = needs.weight ? call.empty([numBlocks, weight.size], tensors.rstd.dtype) : null;
  const dx = backward(call, tensors, weight, blocks);
  const dw =
    blocks &&
    call.weightGradient(weight, [blocks], (target, accumulate) => sumRows(blocks, target, accumulate));
  return { x: dx, weight: dw };
}
