import { adamw, clipFactor, sumOfSquares, type Tensor, zeros } from '@longscan/kernels';
import type { ParameterSpec } from '../model/init.js';
import type { Parameters } from '../model/parameters.js';
import type { JobSpec } from '../protocol/job-spec.js';
import { type Shard, wholeShard } from './shard.js';

/** The part of one parameter that lies in this rank's shard, with what AdamW knows of it; views of flat buffers. */
interface Slot {
  readonly parameter: Tensor;
  readonly gradient: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
  readonly weightDecay: number;
}

/** Elements of one parameter that lie in a shard. */
export interface ShardRange {
  /** The parameter's. */
  readonly spec: ParameterSpec;
  readonly length: number;
  /** First of them in the flat buffers, in the parameter and in the shard. */
  readonly start: number;
  readonly inParameter: number;
  readonly inShard: number;
}

/** AdamW with decoupled weight decay over a shard of a model's parameters, and the clipping of their gradients. */
export class Optimizer {
  /** Running means of the shard's gradients and of their squares, flat. */
  readonly moments: { readonly m: Tensor; readonly v: Tensor };
  private readonly slots: readonly Slot[];

  /** `parameters` can be cut into `shard.count` parts. */
  constructor(
    private readonly parameters: Parameters,
    private readonly spec: JobSpec['optimizer'],
    readonly shard: Shard = wholeShard,
  ) {
    const { device, dtype, values, gradients } = parameters;
    const size = [values.size / shard.count];
    const m = zeros(device, size, dtype);
    const v = zeros(device, size, dtype);
    this.moments = { m, v };
    this.slots = this.ranges().map(({ spec: declared, start, length, inShard }) => {
      const { name, shape, weightDecay = shape.length > 1 } = declared;
      const decays = weightDecay && !name.split('.').some((part) => spec.noDecay.includes(part));
      return {
        parameter: values.view([length], start),
        gradient: gradients.view([length], start),
        m: m.view([length], inShard),
        v: v.view([length], inShard),
        weightDecay: decays ? spec.weightDecay : 0,
      };
    });
  }

  /** The parts of parameters that lie in the shard. */
  ranges(): ShardRange[] {
    const size = this.parameters.values.size / this.shard.count;
    const begin = this.shard.index * size;
    return this.parameters.layout().flatMap(({ offset, ...spec }) => {
      const start = Math.max(offset, begin);
      const end = Math.min(offset + spec.shape.reduce((a, b) => a * b, 1), begin + size);
      if (start >= end) return [];
      return [{ spec, start, length: end - start, inParameter: start - offset, inShard: start - begin }];
    });
  }

  /** The shard of the parameters, or of their gradients. */
  shardOf(flat: Tensor): Tensor {
    const { size } = this.moments.m;
    return flat.view([size], this.shard.index * size);
  }

  /** The shard's part of the squared gradient norm, [1] in f64. */
  sumOfSquares(): Tensor {
    return sumOfSquares(this.shardOf(this.parameters.gradients));
  }

  /** Decides on the stream by how much the gradients are scaled, from the squared norm of all shards; see `readClip`. */
  clip(squaredNorm: Tensor): Tensor {
    return clipFactor(squaredNorm, this.spec.clipNorm === 0 ? Number.POSITIVE_INFINITY : this.spec.clipNorm);
  }

  /** Updates the shard; changes nothing if `clip` found the gradient's norm not finite. `step` counts from 1. */
  step(step: number, learningRate: number, clip: Tensor): void {
    const [beta1, beta2] = this.spec.betas;
    for (const { weightDecay, ...tensors } of this.slots) {
      const options = { learningRate, beta1, beta2, eps: this.spec.eps, weightDecay, step };
      adamw({ ...tensors, clip, working: null }, options);
    }
  }
}
