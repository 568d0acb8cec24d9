import { axpy, fromArray, type Tensor } from '@longscan/kernels';
import { type Batch, cutInTime } from '../data/index.js';
import type { Parameters } from '../model/parameters.js';
import { trainOverTimeSlices } from '../sequence/time-slices.js';
import { forwardUploaded, slicePass } from './forward.js';
import { GradientSums } from './gradient-sums.js';
import type { PassTensors } from './pass-tensors.js';
import type { Training } from './training.js';
import { type UploadedBatch, uploadBatch } from './uploaded-batch.js';

/** Is told of each micro-batch's forward pass (1) and of its backward pass (2) when it is enqueued. */
type AfterPass = (microBatch: number, pass: 1 | 2) => void;

/** Writes there what this rank has sent to ranks of the sequence by then. */
function countSent({ device, mesh: { sp } }: Training, sent: Tensor): AfterPass {
  if (sp === null) return () => undefined;
  // Once: what is noted later follows this on the communicator's own stream.
  sp.stream.wait(device.compute.record());
  sp.recordBytesSent(sent, 0);
  return (microBatch, pass) => sp.recordBytesSent(sent, 2 * microBatch + pass);
}

/** Where the passes add up the loss, among the elements of `Parameters.extra`. */
export const extraLoss = 0;

const lossOf = (parameters: Parameters): Tensor => parameters.extra().view([1], extraLoss);

/**
 * Both passes over the micro-batches of a step: loss and gradients of this rank, begun anew, and of the latter the sums over ranks
 * that can begin before the end. `next` comes before each micro-batch but the first; `sent` has `numCounts` elements.
 */
export function runPasses(
  training: Training,
  batches: readonly Batch[],
  sent: Tensor,
  next: () => void,
): void {
  const { device, parameters, model } = training;
  const after = countSent(training, sent);
  runSummed(training, batches, (batch, i, beforeLast) => {
    if (i > 0) next();
    if (model.timeSlice > 0) {
      const slices = cutInTime(batch, model.timeSlice);
      trainOverTimeSlices(device, slices, slicePass(training, lossOf(parameters)), beforeLast);
      return;
    }
    beforeLast();
    const seed = fromArray(device, [1], [1], parameters.dtype);
    forwardAndBackward(training, uploadBatch(device, batch), seed, (pass) => after(i, pass));
  });
}

/** The same of batches that are on the device already, without anything of the host: what a graph can hold. */
export function runUploadedPasses(
  training: Training,
  batches: readonly UploadedBatch[],
  { seed, sent }: PassTensors,
): void {
  const after = countSent(training, sent);
  runSummed(training, batches, (batch, i, beforeLast) => {
    beforeLast();
    forwardAndBackward(training, batch, seed, (pass) => after(i, pass));
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
  try {
    after(1);
    device.compute.mark('backward');
    tape.backward([loss], [seed]);
  } catch (error) {
    // What it saved is released by its backward pass, which may not have been reached.
    tape.clear();
    throw error;
  }
  after(2);
  axpy(1, loss, lossOf(parameters));
}
