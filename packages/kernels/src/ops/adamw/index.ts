import type { Stream } from '../../stream.js';
import { expectShape, type Tensor } from '../../tensor.js';
import type { Halves } from '../halves/index.js';
import './native.js';

export interface AdamwOptions {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  /** Decoupled: the parameter itself shrinks by learningRate · weightDecay. */
  readonly weightDecay: number;
  /** Counted from 1; of the bias corrections. */
  readonly step: number;
}

/** Flat buffers of the same shape and type (on a GPU f32), and the decision of `clipFactor`. */
export interface AdamwTensors {
  /** On a GPU it may be in halves. */
  readonly parameter: Tensor | Halves;
  readonly gradient: Tensor;
  /** Running means of the gradient and of its square. */
  readonly m: Tensor;
  readonly v: Tensor;
  /** [3], f64 */
  readonly clip: Tensor;
}

/**
 * One AdamW step (https://arxiv.org/abs/1711.05101) in place on parameter, m and v. The gradient is read as
 * `clip.factor · gradient`; where clip says that its norm is not finite, nothing is changed. On `stream`, which has to be in
 * order with whoever makes these tensors and reads them.
 */
export function adamw(
  tensors: AdamwTensors,
  options: AdamwOptions,
  stream: Stream = tensors.gradient.device.compute,
): void {
  const { parameter, gradient, m, v, clip } = tensors;
  const halves = 'high' in parameter ? parameter : { high: parameter, low: null };
  const { high, low } = halves;
  for (const [name, tensor] of Object.entries({ gradient, m, v, ...(low && { low }) })) {
    expectShape('adamw', name, tensor, high.shape);
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
    options.learningRate,
    options.beta1,
    options.beta2,
    options.eps,
    options.weightDecay,
    options.step,
  );
  gradient.device.flops += 14 * gradient.size;
}
