import { axpy, fromArray, type Tensor } from '@longscan/kernels';
import { type Batch, cutInTime } from '../data/index.js';
import type { Parameters } from '../model/parameters.js';
import { trainOverTimeSlices } from '../sequence/time-slices.js';
import { forwardUploaded, slicePass } from './forward.js';
import { GradientSums } from './gradient-sums.js';
import type { Training } from './training.js';
import { type UploadedBatch, uploadBatch } from './uploaded-batch.js';

/** What the host does between passes. */
export interface BetweenPasses {
  /** Before each micro-batch but the first. */
  next(): void;
  /** After the forward pass of a micro-batch and after its backward pass, where sequences lie on several ranks. */
  after(microBatch: number, pass: 1 | 2): void;
}

/** Where the passes add up the loss, among the elements of `Parameters.extra`. */
export const extraLoss = 0;

const lossOf = (parameters: Parameters): Tensor => parameters.extra().view([1], extraLoss);

/**
 * Both passes over the micro-batches of a step: loss and gradients of this rank, begun anew, and of the latter the sums over ranks
 * that can begin before the end.
 */
export function runPasses(training: Training, batches: readonly Batch[], between: BetweenPasses): void {
  const { device, parameters, model } = training;
  runSummed(training, batches, (batch, i, beforeLast) => {
    if (i > 0) between.next();
    if (model.timeSlice > 0) {
      const slices = cutInTime(batch, model.timeSlice);
      trainOverTimeSlices(device, slices, slicePass(training, lossOf(parameters)), beforeLast);
      return;
    }
    beforeLast();
    const seed = fromArray(device, [1], [1], parameters.dtype);
    forwardAndBackward(training, uploadBatch(device, batch), seed, (pass) => between.after(i, pass));
  });
}

/** The same of batches that are on the device already, without anything of the host: what a graph can hold. */
export function runUploadedPasses(training: Training, batches: readonly UploadedBatch[], seed: Tensor): void {
  runSummed(training, batches, (batch, _, beforeLast) => {
    beforeLast();
    forwardAndBackward(training, batch, seed, () => undefined);
  });
}

/** `run` each batch; it calls `beforeLast` before it records the batch's last backward pass. */
function runSummed<B>(
  training: Training,
  batches: readonly B[],
  run: (batch: B, index: number, beforeLast: () => void) => void,
): void {
  const { parameters } = training;
  const sums = GradientSums.of(training);
  parameters.startGradients();
  for (const [i, batch] of batches.entries()) {
    run(batch, i, () => {
      if (i === batches.length - 1) sums?.watch();
    });
  }
  parameters.finishGradients();
  sums?.finish();
}

/** Adds to the loss and to the gradients; `seed`: 1, the loss's own gradient, [1]. */
function forwardAndBackward(
  training: Training,
  batch: UploadedBatch,
  seed: Tensor,
  after: (pass: 1 | 2) => void,
): void {
  const { device, parameters, carry } = training;
  device.compute.mark('forward');
  const { result: loss, tape } = device.record(() =>
    device.scope(() => forwardUploaded(training, batch, carry)),
  );
  after(1);
  device.compute.mark('backward');
  tape.backward([loss], [seed]);
  after(2);
  axpy(1, loss, lossOf(parameters));
}
