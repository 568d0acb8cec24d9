import { type Device, fromArray, type Tensor } from '@longscan/kernels';
import { Border, Crossing } from './border.js';
import { MlpOutputs } from './mlp-outputs.js';

/** Tokens of each of the slices that `numTokens` are cut into, at most `length` each: the last one may be shorter. */
export function timeSliceLengths(numTokens: number, length: number): number[] {
  const count = Math.ceil(numTokens / length);
  return Array.from({ length: count }, (_, i) => Math.min(length, numTokens - i * length));
}

/** What is run on each time slice. */
export interface SlicePass<S> {
  /** Runs the model over a slice for what it leaves to the next one; `outputs` may be given some of what it computes. */
  leave(slice: S, crossing: Crossing, outputs: MlpOutputs): void;
  /** Runs it for the slice's part of the loss, [1], to be recorded; it takes what `leave` has put into `outputs`. */
  loss(slice: S, crossing: Crossing, outputs?: MlpOutputs): Tensor;
  /** Takes it; it is released after that. */
  addLoss(loss: Tensor): void;
}

/**
 * Forward and backward pass over sequences that are cut in time, as exact as over whole ones, in the memory of one slice: a
 * sweep from the first slice to the last keeps nothing but what crosses the borders and what it was told to; one from the last to the first runs each
 * slice again from there, with a tape, and differentiates it, given the gradient of what it leaves. Parameter gradients add
 * up. What is kept beside one slice's activations are the states and halos of each border, whatever lies between two.
 * `beforeLast` is called before the last backward pass, that of the first slice, is recorded.
 */
export function trainOverTimeSlices<S>(
  device: Device,
  slices: readonly S[],
  pass: SlicePass<S>,
  beforeLast: () => void = () => undefined,
): void {
  const borders = [new Border()];
  const outputs: MlpOutputs[] = [];
  let adjoint = new Border();
  try {
    device.compute.mark('forward');
    // The last slice leaves nothing: the way back begins with it.
    for (const slice of slices.slice(0, -1)) {
      const crossing = new Crossing(borders.at(-1)!);
      const kept = new MlpOutputs();
      borders.push(crossing.leaving);
      outputs.push(kept);
      device.scope(() => pass.leave(slice, crossing, kept));
    }
    for (const [i, slice] of [...slices.entries()].reverse()) {
      const entering = borders[i]!;
      const outgoing = adjoint;
      if (i === 0) beforeLast();
      const loss = (crossing: Crossing) => pass.loss(slice, crossing, outputs[i]);
      adjoint = device.scope(() => backward(device, entering, outgoing, { ...pass, loss }));
      entering.release();
      outgoing.release();
    }
  } finally {
    // Of a pass that failed.
    for (const kept of [...borders, adjoint, ...outputs]) kept.release();
  }
}

/** The loss alone, slice by slice. */
export function lossOverTimeSlices<S>(device: Device, slices: readonly S[], pass: SlicePass<S>): void {
  const borders = [new Border()];
  try {
    for (const slice of slices) {
      const entering = borders.at(-1)!;
      const crossing = new Crossing(entering);
      borders.push(crossing.leaving);
      device.scope(() => pass.addLoss(pass.loss(slice, crossing)));
      entering.release();
    }
  } finally {
    for (const border of borders) border.release();
  }
}

/** The loss of a slice, and who takes it. */
interface SliceLoss {
  loss(crossing: Crossing): Tensor;
  addLoss(loss: Tensor): void;
}

/** One slice on the way back; returns the gradient of what enters it from that of what leaves it. */
function backward(device: Device, entering: Border, outgoing: Border, pass: SliceLoss): Border {
  const leaves = entering.asLeaves();
  const crossing = new Crossing(leaves);
  try {
    return backwardFrom(device, leaves, crossing, outgoing, pass);
  } finally {
    crossing.leaving.release();
    leaves.release();
  }
}

function backwardFrom(
  device: Device,
  leaves: Border,
  crossing: Crossing,
  outgoing: Border,
  pass: SliceLoss,
): Border {
  device.compute.mark('forward');
  const { result: loss, tape } = device.record(() => pass.loss(crossing));
  const reached = outgoing.entries.map(([key]) => crossing.leaving.get(key)!);
  const seeds = outgoing.entries.map(([, gradient]) => gradient);
  const wanted = leaves.entries.map(([, leaf]) => leaf);
  let results: readonly (Tensor | null)[];
  try {
    device.compute.mark('backward');
    const seed = fromArray(device, [1], [1], loss.dtype);
    results = tape.backward([loss, ...reached], [seed, ...seeds], wanted);
  } catch (error) {
    tape.clear();
    throw error;
  }
  pass.addLoss(loss);
  return new Border(
    leaves.entries.flatMap(([key], i) => (results[i] == null ? [] : [[key, results[i]] as const])),
  );
}
