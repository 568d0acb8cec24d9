import type { Stream } from '../../stream.js';
import { expectShape, type Tensor } from '../../tensor.js';
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
  readonly parameter: Tensor;
  readonly gradient: Tensor;
  /** Running means of the gradient and of its square. */
  readonly m: Tensor;
  readonly v: Tensor;
  /** [3], f64 */
  readonly clip: Tensor;
  /** Gets the new parameter, rounded, in the same pass: bf16, on a GPU only; null: none is held. */
  readonly working: Tensor | null;
}

/**
 * One AdamW step (https://arxiv.org/abs/1711.05101) in place on parameter, m and v, and a rounded copy. The gradient is read as
 * `clip.factor · gradient`; where clip says that its norm is not finite, nothing is changed. On `stream`, which has to be in
 * order with whoever makes these tensors and reads them.
 */
export function adamw(
  tensors: AdamwTensors,
  options: AdamwOptions,
  stream: Stream = tensors.parameter.device.compute,
): void {
  const { parameter, gradient, m, v, clip, working } = tensors;
  for (const [name, tensor] of Object.entries({ gradient, m, v })) {
    expectShape('adamw', name, tensor, parameter.shape);
  }
  if (working !== null) expectShape('adamw', 'working', working, parameter.shape);
  const { native } = parameter.device;
  native.adamwUpdate(
    stream.id,
    parameter.id,
    gradient.id,
    m.id,
    v.id,
    clip.id,
    working?.id ?? null,
    options.learningRate,
    options.beta1,
    options.beta2,
    options.eps,
    options.weightDecay,
    options.step,
  );
  parameter.device.flops += 14 * parameter.size;
}
