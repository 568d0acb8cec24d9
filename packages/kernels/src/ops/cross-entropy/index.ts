import { defineOp } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

interface CrossEntropyInputs extends Record<string, Tensor> {
  /** [..., D] */
  readonly hidden: Tensor;
  /** [vocab, D] */
  readonly weight: Tensor;
  /** [...], i32: the token to predict, or -1: not counted */
  readonly labels: Tensor;
}

/** Logits that exist at a time: about 4 MiB of f32, and enough rows for an efficient matrix product. */
const chunkElements = 2 ** 20;
const minChunkRows = 128;

/**
 * Language-model head and loss in one: `scale · Σ −log softmax(hidden weightᵀ)[label]` over the labels that are not -1,
 * a tensor of shape [1]. `scale` is 1 / (number of counted labels over all ranks and micro-batches).
 *
 * Logits exist for one chunk of tokens at a time. When a gradient is wanted, the forward pass computes those of hidden and
 * weight chunk by chunk; the backward pass multiplies them by the loss's own gradient, which it usually finds to be 1.
 */
export function crossEntropy(inputs: CrossEntropyInputs, scale: number): Tensor {
  return crossEntropyOp(inputs, { scale });
}

const crossEntropyOp = defineOp<CrossEntropyInputs, { scale: number }>({
  name: 'cross-entropy',
  units: 'sum',
  forward(call, { hidden, weight, labels }, { scale }) {
    expectShape('cross-entropy', 'weight', weight, [-1, hidden.dim(-1)]);
    expectShape('cross-entropy', 'labels', labels, hidden.shape.slice(0, -1));
    const recording = call.device.tape !== null;
    const dHidden = recording && hidden.requiresGrad ? call.empty(hidden.shape, hidden.dtype) : null;
    const dWeight = recording && weight.requiresGrad ? call.empty(weight.shape, weight.dtype) : null;
    const output = call.empty([1], hidden.dtype);
    call.device.scope(() => {
      const logits = call.empty([chunkRows(labels.size, weight.dim(0)), weight.dim(0)], hidden.dtype);
      call.native.crossEntropyForward(
        call.stream,
        hidden.id,
        weight.id,
        labels.id,
        scale,
        logits.id,
        output.id,
        dHidden?.id ?? null,
        dWeight?.id ?? null,
      );
    });
    const numProducts = 1 + (dHidden === null ? 0 : 1) + (dWeight === null ? 0 : 1);
    call.device.flops += numProducts * 2 * hidden.size * weight.dim(0);
    return { output, save: { dHidden, dWeight, weight } };
  },
  backward(call, { dHidden, dWeight, weight }, seed) {
    const { native, stream } = call;
    if (dHidden) native.crossEntropyBackward(stream, seed.id, dHidden.id, dHidden.id, false);
    const weightGradient =
      dWeight &&
      call.weightGradient(weight!, [seed, dWeight], (target, accumulate) => {
        native.crossEntropyBackward(stream, seed.id, dWeight.id, target.id, accumulate);
      });
    return { hidden: dHidden ?? null, weight: weightGradient ?? null };
  },
});

function chunkRows(numTokens: number, vocab: number): number {
  const rows = Math.max(minChunkRows, Math.floor(chunkElements / vocab));
  return Math.max(1, Math.min(numTokens, rows));
}
