import {
  adamw,
  clipFactor,
  type DType,
  empty,
  fromArray,
  type Halves,
  type RandomKey,
  type Stream,
  sumOfParts,
  sumOfSquares,
  sumParts,
  type Tensor,
  zeros,
} from '@longscan/kernels';
import { beforeAll } from '../model/declared-parameters.js';
import { type ParameterSpec, seedWords } from '../model/init.js';
import type { Parameters } from '../model/parameters.js';
import type { JobSpec } from '../protocol/job-spec.js';
import { piecesOfShard, type Shard, type ShardPiece, wholeShard } from './shard.js';

/** Parameters, or parts of them, that lie side by side in this rank's shard and are updated alike; views of flat buffers. */
interface Slot {
  readonly parameter: Tensor | Halves;
  readonly gradient: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
  /** Where the squares of its gradients are summed beside its update. */
  readonly squares?: Tensor;
  /** Of the flat buffers, the first. */
  readonly begin: number;
  readonly weightDecay: number;
  /** Whose parameters they are, see `ParameterSpec.block`. */
  readonly block: number;
}

export interface OptimizerOptions {
  /** The parameters can be cut into `shard.count` parts; default: all of them. */
  readonly shard?: Shard;
  /** The job's, of the random numbers by which moments in bf16 are rounded; default: 0. */
  readonly seed?: number;
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

interface Run {
  readonly begin: number;
  end: number;
  readonly inShard: number;
  readonly isRounded: boolean;
  readonly weightDecay: number;
  readonly block: number;
}

/** Of values in `dtype`, which is f64 for gradient checks. */
function momentType({ moments }: JobSpec['optimizer'], dtype: DType): DType {
  return moments === 'bf16' ? 'bf16' : dtype;
}

/** AdamW with decoupled weight decay over a shard of a model's parameters, and the clipping of their gradients. */
export class Optimizer {
  /** Running means of the shard's gradients and of their squares, flat; in bf16 if the job says so. */
  readonly moments: { readonly m: Tensor; readonly v: Tensor };
  /** Where parameters are updated: on a GPU aside, so that a block's forward pass hides the update of those after it. */
  readonly stream: Stream;
  /** Of the flat buffers, what belongs to the shard, in their order. */
  readonly pieces: readonly ShardPiece[];
  /** Whether a step has been enqueued. */
  hasStepped = false;
  /** In the order in which a forward pass reads them. */
  private readonly slots: readonly Slot[];
  /** What was decided in the step before: after one that diverged nothing is updated any more. */
  private lastClip: Tensor;
  /**
   * The sum of the gradients' squares in parts, where the update takes it as it reads them: on a GPU that does not clip, so that
   * nothing waits for the norm. Null: it is taken before.
   */
  private readonly squares: Tensor | null;
  readonly shard: Shard;
  /** Of the random numbers by which moments in bf16 are rounded. */
  private readonly roundingKey: RandomKey;

  constructor(
    private readonly parameters: Parameters,
    private readonly spec: JobSpec['optimizer'],
    { shard = wholeShard, seed = 0 }: OptimizerOptions = {},
  ) {
    this.shard = shard;
    const [low, high] = seedWords(seed, 'optimizer.moments');
    this.roundingKey = [low, high];
    const { device, dtype, values, gradients, halves } = parameters;
    this.lastClip = fromArray(device, [1, 0, 1], [3], 'f64');
    const size = [parameters.size / shard.count];
    const type = momentType(spec, dtype);
    const [m, v] = [zeros(device, size, type), zeros(device, size, type)];
    this.moments = { m, v };
    this.pieces = piecesOfShard(parameters.buckets, shard);
    const isAside = device.isGpu && shard.count === 1;
    this.stream = isAside ? device.createStream('optimizer') : device.compute;
    const runs = this.runs();
    const partsOf = ({ begin, end }: Run) => sumParts(end - begin);
    const numParts = runs.reduce((sum, run) => sum + partsOf(run), 0);
    this.squares = device.isGpu && spec.clipNorm === 0 ? empty(device, [numParts], 'f64', this.stream) : null;
    let firstPart = 0;
    this.slots = runs.map((run) => {
      const { begin, end, inShard, isRounded, weightDecay, block } = run;
      const length = [end - begin];
      const part = firstPart;
      firstPart += partsOf(run);
      return {
        ...(this.squares && { squares: this.squares.view([partsOf(run)], part) }),
        parameter: isRounded
          ? { high: halves!.high.view(length, begin), low: halves!.low.view(length, begin) }
          : values.view(length, begin),
        gradient: gradients.view(length, begin),
        m: m.view(length, inShard),
        v: v.view(length, inShard),
        begin,
        weightDecay,
        block,
      };
    });
  }

  /** The parts of parameters that lie in the shard. */
  ranges(): ShardRange[] {
    return this.parameters.layout().flatMap(({ offset, ...spec }) => {
      const size = spec.shape.reduce((a, b) => a * b, 1);
      return this.pieces.flatMap((piece) => {
        const start = Math.max(offset, piece.begin);
        const length = Math.min(offset + size, piece.end) - start;
        if (length <= 0) return [];
        const inShard = piece.inShard + start - piece.begin;
        return [{ spec, start, length, inParameter: start - offset, inShard }];
      });
    });
  }

  /** Elements [begin, end) of the flat buffers that one call can update: neighbours that differ in nothing, with padding. */
  private runs(): Run[] {
    const { numUnrounded, halves } = this.parameters;
    const runs: Run[] = [];
    for (const { spec, start, length, inShard } of this.ranges().sort((a, b) => a.start - b.start)) {
      const isRounded = start >= numUnrounded;
      const weightDecay = this.decayOf(spec);
      // What is not rounded beside what is is small and lies together.
      const block = halves === null || isRounded ? (spec.block ?? beforeAll) : beforeAll;
      const run = { begin: start, end: start + length, inShard, isRounded, weightDecay, block };
      const last = runs.at(-1);
      const isLike =
        last?.isRounded === isRounded &&
        last.weightDecay === weightDecay &&
        last.block === block &&
        // Of the same piece of the shard.
        inShard - last.inShard === start - last.begin;
      if (isLike) last.end = run.end;
      else runs.push(run);
    }
    return runs.sort((a, b) => a.block - b.block);
  }

  private decayOf({ name, shape, weightDecay = shape.length > 1 }: ParameterSpec): number {
    const isSpared = name.split('.').some((part) => this.spec.noDecay.includes(part));
    return weightDecay && !isSpared ? this.spec.weightDecay : 0;
  }

  /**
   * Updates the shard by its gradients, scaled as the norm of all of them says; changes nothing if that is not finite. `step`
   * counts from 1. On a GPU this goes on behind the work that is enqueued next; see `Parameters.beforeBlock`. `overRanks`: makes
   * of a tensor its sum over all shards. Returns what was decided, `clipFactor`'s, made on `stream`.
   *
   * A GPU that does not clip takes the norm beside the update: what of a gradient is not finite is not applied, and nothing is
   * from the next step on.
   */
  update(step: number, learningRate: number, overRanks: (sums: Tensor) => void): Tensor {
    if (this.squares === null) {
      const sums = this.sumOfSquares();
      overRanks(sums);
      const clip = this.clip(sums, this.parameters.device.compute);
      this.step(step, learningRate, clip);
      return clip;
    }
    this.step(step, learningRate, this.lastClip);
    const sum = sumOfParts(this.squares, this.stream);
    overRanks(sum);
    return this.clip(sum, this.stream);
  }

  /** The squared norm of the gradient of each of the shard's pieces, [n] in f64: as many on all ranks. */
  private sumOfSquares(): Tensor {
    const { gradients } = this.parameters;
    const [first, ...others] = this.pieces.map(({ begin, end }) => gradients.view([end - begin], begin));
    return sumOfSquares(first!, ...others);
  }

  /**
   * Decides on a stream by how much the gradients are scaled, from the squared norms of all shards; see `readClip`. After a
   * norm that is not finite all later ones count as such: nobody may have looked at it yet.
   */
  private clip(squaredNorms: Tensor, stream: Stream): Tensor {
    const { clipNorm } = this.spec;
    const clip = clipFactor(
      squaredNorms,
      clipNorm === 0 ? Number.POSITIVE_INFINITY : clipNorm,
      this.lastClip,
      stream,
    );
    this.lastClip.release();
    this.lastClip = clip.retain();
    return clip;
  }

  /** The part of it behind `clip`: changes nothing if that found the gradient's norm not finite. */
  step(step: number, learningRate: number, clip: Tensor): void {
    const [beta1, beta2] = this.spec.betas;
    const { stream, parameters } = this;
    this.hasStepped = true;
    stream.wait(parameters.device.compute.record());
    for (const { begin, weightDecay, block, ...tensors } of this.slots) {
      // Where an element lies in the flat buffers does not depend on who updates it.
      const rounding = { key: this.roundingKey, firstElement: begin };
      const options = { learningRate, beta1, beta2, eps: this.spec.eps, weightDecay, step, rounding };
      adamw({ ...tensors, clip }, options, stream);
      if (stream !== parameters.device.compute) parameters.noteUpdate(block, stream.record());
    }
  }
}
