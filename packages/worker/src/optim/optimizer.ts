import { adamw, clipFactor, sumOfSquares, type Tensor, zeros } from '@longscan/kernels';
import type { Parameters } from '../model/parameters.js';
import type { JobSpec } from '../protocol/job-spec.js';

/** One parameter with what AdamW knows of it. */
interface Slot {
  readonly parameter: Tensor;
  readonly gradient: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
  readonly weightDecay: number;
}

/** AdamW with decoupled weight decay over a model's parameters, and the clipping of their gradients. */
export class Optimizer {
  /** Moments by parameter name, in the model's order. */
  readonly moments: ReadonlyMap<string, { readonly m: Tensor; readonly v: Tensor }>;
  private readonly slots: readonly Slot[];
  private readonly gradients: Tensor;

  constructor(
    parameters: Parameters,
    private readonly spec: JobSpec['optimizer'],
  ) {
    const { device, dtype, values } = parameters;
    const m = zeros(device, values.shape, dtype);
    const v = zeros(device, values.shape, dtype);
    this.gradients = parameters.gradientsOnly();
    const moments = new Map<string, { m: Tensor; v: Tensor }>();
    this.slots = parameters.layout().map(({ name, shape, offset }) => {
      const moment = { m: m.view(shape, offset), v: v.view(shape, offset) };
      moments.set(name, moment);
      const parameter = parameters.byName.get(name)!;
      const decays = !name.split('.').some((part) => spec.noDecay.includes(part));
      return {
        parameter,
        gradient: parameter.gradient!,
        ...moment,
        weightDecay: decays ? spec.weightDecay : 0,
      };
    });
    this.moments = moments;
  }

  /** Decides on the stream by how much the gradients are scaled; see `readClip`. */
  clip(): Tensor {
    return clipFactor(
      sumOfSquares(this.gradients),
      this.spec.clipNorm === 0 ? Number.POSITIVE_INFINITY : this.spec.clipNorm,
    );
  }

  /** Updates every parameter; changes nothing if `clip` found the gradient's norm not finite. `step` counts from 1. */
  step(step: number, learningRate: number, clip: Tensor): void {
    const [beta1, beta2] = this.spec.betas;
    for (const { weightDecay, ...tensors } of this.slots) {
      const options = { learningRate, beta1, beta2, eps: this.spec.eps, weightDecay, step };
      adamw({ ...tensors, clip }, options);
    }
  }
}
