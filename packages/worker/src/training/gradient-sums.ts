import type { Event, Tape } from '@longscan/kernels';
import type { GradientBucket } from '../model/gradient-buckets.js';
import { sumBucket } from './over-ranks.js';
import type { Training } from './training.js';

/** A bucket that the backward pass is through. */
interface PassedBucket {
  readonly bucket: GradientBucket;
  /** When the weight gradients that were put off are there; null: they are put off still. */
  final: Event | null;
}

/**
 * Sums gradients over ranks beside the last backward pass of a step: each bucket as soon as it is final, on a stream of its own,
 * while the blocks before it are differentiated (as PyTorch's DDP, Li et al., https://arxiv.org/abs/2006.15704, and the
 * distributed optimizer of Megatron-LM). The last bucket is final when the pass is over, and left to `finishSums`.
 *
 * Where ranks also pass states on, the host enqueues a sum behind the messages of one more block: in that place on all ranks, so
 * that collectives of all communicators have one order everywhere, whichever ops of attention or halos a rank has. The sum
 * itself starts when its gradients are there.
 */
export class GradientSums {
  private numPassed = 0;
  private readonly passed: PassedBucket[] = [];

  private constructor(private readonly training: Training) {}

  /** Of the next step. Null: all gradients are summed at its end. */
  static of(training: Training): GradientSums | null {
    const { mesh, device, parameters } = training;
    if (mesh.world === null || device.units !== null || parameters.buckets.length === 1) return null;
    return new GradientSums(training);
  }

  /**
   * What is recorded next is the last backward pass. Beside the first one on a GPU no sum runs: kernels are loaded then, which may
   * wait for all that the GPU does, and a sum waits for other ranks.
   */
  watch(): void {
    const { device, optimizer, parameters } = this.training;
    if (device.kind === 'cuda' && !optimizer.hasStepped) return;
    parameters.watchBackward((block, tape) => this.pass(block, tape));
  }

  /** The backward pass is over. */
  finish(): void {
    this.startPassed();
    const { buckets } = this.training.parameters;
    while (this.numPassed < buckets.length - 1) this.startNow(buckets[this.numPassed++]!);
  }

  private pass(block: number, tape: Tape): void {
    if (this.passed.some(({ final }) => final === null)) tape.flushDeferred();
    this.startPassed();
    const { parameters, sequence, device } = this.training;
    const { buckets } = parameters;
    for (; this.numPassed < buckets.length - 1; this.numPassed++) {
      const bucket = buckets[this.numPassed]!;
      if (bucket.finalAfter < block) return;
      if (sequence === null) {
        // Nothing is put off, since nothing waits for other ranks.
        parameters.finishBucket(bucket);
        this.startNow(bucket);
        continue;
      }
      const passed: PassedBucket = { bucket, final: null };
      this.passed.push(passed);
      tape.afterDeferred(() => {
        parameters.finishBucket(bucket);
        passed.final = device.compute.record();
      });
    }
  }

  /** After all that is enqueued. */
  private startNow(bucket: GradientBucket): void {
    sumBucket(this.training, bucket, this.training.device.compute.record());
  }

  /** In their order; what they wait for has been enqueued. */
  private startPassed(): void {
    for (const { bucket, final } of this.passed.splice(0)) sumBucket(this.training, bucket, final!);
  }
}
