import { defineOp } from '../../autograd/define-op.js';
import { takeStale } from '../../autograd/tape.js';
import { expectShape, fromArray, type Tensor } from '../../tensor.js';
import { wideType } from '../../types-of.js';
import './native.js';

interface CrossEntropyInputs extends Record<string, Tensor> {
  /** [..., D] */
  readonly hidden: Tensor;
  /** [vocab, D] */
  readonly weight: Tensor;
  /** [...], i32: the token to predict, or -1: not counted */
  readonly labels: Tensor;
}

export interface CrossEntropyOptions {
  /**
   * This loss is what is differentiated, once, and its own gradient is 1. The gradient of a weight that is a parameter then
   * needs no memory of its own: the forward pass adds to the parameter's, unless that goes by units. Default: false.
   */
  readonly isFinal?: boolean;
}

/** How many logits exist at a time, and the fewest rows of them that make an efficient matrix product. */
interface Chunking {
  readonly elements: number;
  readonly minRows: number;
}
/** About 4 MiB of f32, so that they stay in the cache. */
const onCpu: Chunking = { elements: 2 ** 20, minRows: 128 };
/** 512 MiB of f32: 4,096 rows of a vocabulary of 32,000. Every chunk reads the head twice and adds to its whole gradient. */
const onGpu: Chunking = { elements: 2 ** 27, minRows: 1024 };
/** A chunk of a GPU is a multiple of this, as the tiles of a product are. */
const tileRows = 128;

/**
 * Language-model head and loss in one: `scale · Σ −log softmax(hidden weightᵀ)[label]` over the labels that are not -1,
 * a tensor of shape [1]. `scale` is 1 / (number of counted labels over all ranks and micro-batches); a graph, which is
 * launched for other labels, has it as a tensor, [1] in f64.
 *
 * Logits exist for one chunk of tokens at a time. When a gradient is wanted, the forward pass computes those of hidden and
 * weight chunk by chunk; the backward pass multiplies them by the loss's own gradient, which it usually finds to be 1.
 *
 * hidden and weight of bf16 give a loss and a weight's gradient of f32. A label that is not in the vocabulary is a stream
 * failure E-DATA-VOCAB on the CPU, and makes the loss NaN on a GPU.
 */
export function crossEntropy(
  inputs: CrossEntropyInputs,
  scale: number | Tensor,
  { isFinal = false }: CrossEntropyOptions = {},
): Tensor {
  // Units keep what each says of a parameter apart.
  const { device } = inputs.hidden;
  const factor = typeof scale === 'number' ? fromArray(device, [scale], [1], 'f64') : scale;
  return crossEntropyOp(inputs, { scale: factor, isFinal: isFinal && device.units === null });
}

const crossEntropyOp = defineOp<CrossEntropyInputs, { scale: Tensor; isFinal: boolean }>({
  name: 'cross-entropy',
  units: 'sum',
  forward(call, { hidden, weight, labels }, { scale, isFinal }) {
    expectShape('cross-entropy', 'weight', weight, [-1, hidden.dim(-1)]);
    expectShape('cross-entropy', 'labels', labels, hidden.shape.slice(0, -1));
    const recording = call.device.tape !== null;
    const dHidden = recording && hidden.requiresGrad ? call.empty(hidden.shape, hidden.dtype) : null;
    const addsTo = recording && isFinal ? weight.gradient : null;
    const dWeight =
      recording && weight.requiresGrad && addsTo === null
        ? call.empty(weight.shape, wideType(weight.dtype))
        : null;
    const output = call.empty([1], wideType(hidden.dtype));
    call.device.scope(() => {
      const vocab = weight.dim(0);
      const rows = chunkRows(labels.size, vocab, call.device.isGpu);
      const logits = call.empty([rows, vocab], wideType(hidden.dtype));
      call.native.crossEntropyForward(
        call.stream,
        hidden.id,
        weight.id,
        labels.id,
        scale.id,
        logits.id,
        output.id,
        dHidden?.id ?? null,
        (addsTo ?? dWeight)?.id ?? null,
        addsTo !== null && !takeStale(weight),
      );
    });
    const numProducts = 1 + (dHidden === null ? 0 : 1) + (addsTo === null && dWeight === null ? 0 : 1);
    call.device.flops += numProducts * 2 * hidden.size * weight.dim(0);
    return { output, save: { dHidden, dWeight, weight } };
  },
  backward(call, { dHidden, dWeight, weight }, seed, { isFinal }) {
    const { native, stream } = call;
    if (dHidden && !isFinal) native.crossEntropyBackward(stream, seed.id, dHidden.id, dHidden.id, false);
    const weightGradient =
      dWeight &&
      call.weightGradient(weight!, [seed, dWeight], (target, accumulate) => {
        native.crossEntropyBackward(stream, seed.id, dWeight.id, target.id, accumulate);
      });
    return { hidden: dHidden ?? null, weight: weightGradient ?? null };
  },
});

/** Rows of logits at a time: at least one, and on a GPU as equally many each time as may be. */
function chunkRows(numTokens: number, vocab: number, isOnGpu: boolean): number {
  const { elements, minRows } = isOnGpu ? onGpu : onCpu;
  const mostRows = Math.max(minRows, Math.floor(elements / vocab));
  if (!isOnGpu || numTokens <= mostRows) return Math.max(1, Math.min(numTokens, mostRows));
  const rows = Math.ceil(numTokens / Math.ceil(numTokens / mostRows));
  return Math.ceil(rows / tileRows) * tileRows;
}
