import {
  axpy,
  type Clip,
  type Device,
  hostArray,
  LongscanError,
  readClip,
  type Tensor,
  zeros,
} from '@longscan/kernels';
import { type Batch, cutInTime } from '../data/index.js';
import type { Parameters } from '../model/parameters.js';
import { lossOverTimeSlices } from '../sequence/time-slices.js';
import { forward, slicePass } from './forward.js';
import { finishSums, gatherParameters, sumOverRanks, updateParameters } from './over-ranks.js';
import { numCounts } from './pass-tensors.js';
import { extraLoss, runPasses, runUploadedPasses } from './passes.js';
import { SequenceSums, sequencesOf, validateSequences } from './sequence-sums.js';
import type { Training } from './training.js';

/** Elements behind the gradients that are summed over ranks with them: the loss, and who wants to stop, and how. */
export const numExtra = 3;
const extraStop = 1;
const extraSave = 2;

/** What a rank asks for when the coordinator or the user told it to stop; all ranks act on it after the same step. */
export interface StopWish {
  readonly stop: boolean;
  readonly save: boolean;
}

/** One step as the host sees it once it is over. Loss and norm are those of the whole batch, the same on every rank. */
export interface StepResult {
  readonly loss: number;
  readonly clip: Clip;
  /** Some rank wants to stop after this step. */
  readonly stop: boolean;
  /** And none of those wants to stop without saving. */
  readonly save: boolean;
  readonly spBytesSentForward: number;
  readonly spBytesSentBackward: number;
}

/** Steps that may be under way: on a GPU the next one is enqueued before the host looks at the results of the last. */
export const maxUnderWay = ({ isGpu }: Device): number => (isGpu ? 2 : 1);

/**
 * A training step: enqueues all of it, with the one read-back of its results, and returns. `step` counts from 1. Steps may
 * be enqueued before earlier ones are over; after one that diverges, later ones change nothing.
 */
export function trainStep(
  training: Training,
  microBatches: readonly Batch[],
  step: number,
  learningRate: number,
  wish: StopWish,
): Promise<StepResult> {
  const { device, parameters } = training;
  const batches = device.units === null ? microBatches : sequencesOf(microBatches);
  const results = device.scope(() => {
    const sums = device.units && new SequenceSums(training);
    const sent =
      training.graphs?.launch(batches, (...given) => runUploadedPasses(training, ...given)) ??
      runPlainPasses(training, batches, () => sums?.next());
    device.compute.mark('reduce');
    training.carry?.passOn();
    writeWish(parameters, wish);
    if (sums !== null) sums.finish();
    else finishSums(training);
    device.compute.mark('update');
    const clip = updateParameters(training, step, learningRate);
    gatherParameters(training);
    return { clip, sent, extra: parameters.extra() };
  });
  return resultOf(results, training);
}

/** Kernel by kernel; gives what they count as sent. */
function runPlainPasses(training: Training, batches: readonly Batch[], next: () => void): Tensor {
  const sent = zeros(training.device, [numCounts(batches)], 'f64');
  runPasses(training, batches, sent, next);
  return sent;
}

/** The results of a step once it is over; their reading is enqueued at once. */
async function resultOf(
  results: Readonly<Record<'clip' | 'extra' | 'sent', Tensor>>,
  { mesh, optimizer }: Training,
): Promise<StepResult> {
  const [clip, extra, sent] = await Promise.all([
    // Written on these streams, so read there.
    readClip(results.clip, optimizer.stream),
    results.extra.readNumbers(),
    results.sent.read(mesh.sp?.stream),
  ]);
  for (const tensor of Object.values(results)) tensor.release();
  // Odd differences are those of forward passes, even ones of backward passes.
  const counts = sent as Float64Array;
  const sentIn = (pass: 0 | 1) =>
    counts.reduce((sum, now, i) => (i > 0 && i % 2 === pass ? sum + now - counts[i - 1]! : sum), 0);
  return {
    loss: extra[extraLoss]!,
    clip,
    stop: extra[extraStop]! > 0,
    save: extra[extraSave]! === extra[extraStop]!,
    spBytesSentForward: sentIn(1),
    spBytesSentBackward: sentIn(0),
  };
}

/**
 * The same decision on every rank, since all see the same sums.
 * @throws LongscanError E-DIVERGED
 */
export function assertFinite(step: number, { loss, clip }: StepResult): void {
  if (Number.isFinite(loss) && clip.isFinite) return;
  throw new LongscanError({
    code: 'E-DIVERGED',
    where: `step ${step}`,
    found: `loss ${loss}, gradient norm ${clip.norm}`,
    expected: 'finite numbers; no checkpoint is written from here on',
    fix: 'start a new run with a lower optimizer.lr, more optimizer.warmupSteps or a smaller optimizer.clipNorm (0 clips nothing: set one)',
    exitCode: 5,
  });
}

/**
 * The mean loss over held-out batches, the same on every rank; nothing is recorded. NaN if there are none.
 */
export async function validate(training: Training, batches: readonly Batch[]): Promise<number> {
  const { device, mesh } = training;
  if (batches.length === 0) return Number.NaN;
  if (device.units !== null) {
    return validateSequences(training, batches, (batch) => forward(training, batch, null));
  }
  const total = zeros(device, [1], training.parameters.dtype);
  const { timeSlice } = training.model;
  try {
    for (const batch of batches) {
      if (timeSlice > 0) {
        lossOverTimeSlices(device, cutInTime(batch, timeSlice), slicePass(training, total));
      } else {
        device.scope(() => axpy(1, forward(training, batch, null), total));
      }
      // One batch at a time in flight: nothing of it is needed later.
      await device.compute.sync();
    }
    sumOverRanks(mesh.world, total);
    const [loss] = await total.readNumbers();
    return loss!;
  } finally {
    total.release();
  }
}

function writeWish(parameters: Parameters, { stop, save }: StopWish): void {
  const values = [Number(stop), Number(stop && save)];
  parameters.extra().view([2], extraStop).write(hostArray(parameters.dtype, values));
}
