import { LongscanError } from '../../errors.js';
import type { Stream } from '../../stream.js';
import { expectShape, type Tensor } from '../../tensor.js';
import type { Halves } from '../halves/index.js';
import type { RandomKey } from '../random/index.js';
import './native.js';

/**
 * Which random numbers moments in bf16 are rounded by: they are a function of this, the step and an element's number, and so
 * the same on every device and however many ranks share the elements.
 */
export interface MomentRounding {
  readonly key: RandomKey;
  /** The number of the tensors' first element among all that have this key. */
  readonly firstElement: number;
}

export interface AdamwOptions {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  /** Decoupled: the parameter itself shrinks by learningRate · weightDecay. */
  readonly weightDecay: number;
  /** Counted from 1; of the bias corrections. */
  readonly step: number;
  /** Needed where moments are bf16. */
  readonly rounding?: MomentRounding | undefined;
}

/** Flat buffers of the same shape and type (on a GPU f32), and the decision of `clipFactor`. */
export interface AdamwTensors {
  /** On a GPU it may be in halves. */
  readonly parameter: Tensor | Halves;
  readonly gradient: Tensor;
  /** Running means of the gradient and of its square; beside f32 they may be bf16. */
  readonly m: Tensor;
  readonly v: Tensor;
  /** [3], f64 */
  readonly clip: Tensor;
  /**
   * On a GPU: gets the sum of gradient² in parts, `sumParts` of f64, at no cost beside the update. A gradient is then known not
   * to be finite only after the update, which leaves those elements as they were.
   */
  readonly squares?: Tensor | undefined;
}

/** A block of the kernel's (update.h); the addon refuses other numbers of parts. */
const elementsPerSum = 1024;

/** Of an update of so many elements, the parts that the sum of its gradients' squares comes in. */
export function sumParts(size: number): number {
  return Math.ceil(size / elementsPerSum);
}

/**
 * One AdamW step (https://arxiv.org/abs/1711.05101) in place on parameter, m and v. The gradient is read as
 * `clip.factor · gradient`; where clip says that its norm is not finite, nothing is changed. On `stream`, which has to be in
 * order with whoever makes these tensors and reads them.
 *
 * Moments in bf16 are updated in f32, used, and then rounded to one of the two numbers beside them, the nearer the more
 * probable (README.md).
 */
export function adamw(
  tensors: AdamwTensors,
  options: AdamwOptions,
  stream: Stream = tensors.gradient.device.compute,
): void {
  const { parameter, gradient, m, v, clip, squares } = tensors;
  const halves = 'high' in parameter ? parameter : { high: parameter, low: null };
  const { high, low } = halves;
  for (const [name, tensor] of Object.entries({ gradient, m, v, ...(low && { low }) })) {
    expectShape('adamw', name, tensor, high.shape);
  }
  const { rounding } = options;
  if (m.dtype === 'bf16' && rounding === undefined) {
    throw new LongscanError({
      code: 'E-ARGUMENT',
      where: 'adamw',
      found: 'moments in bf16 and no random numbers to round them by',
      expected: 'options.rounding',
      fix: 'pass options.rounding, or moments in f32',
    });
  }
  const { native } = gradient.device;
  native.adamwUpdate(
    stream.id,
    high.id,
    low?.id ?? null,
    gradient.id,
    m.id,
    v.id,
    clip.id,
    squares?.id ?? null,
    options.learningRate,
    options.beta1,
    options.beta2,
    options.eps,
    options.weightDecay,
    options.step,
    rounding?.key[0] ?? 0,
    rounding?.key[1] ?? 0,
    rounding?.firstElement ?? 0,
  );
  gradient.device.flops += 14 * gradient.size;
}
