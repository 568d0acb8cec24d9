import { type Device, fromArray, type Tensor } from '@longscan/kernels';
import { Border, Crossing } from './border.js';

/** Tokens of each of the slices that `numTokens` are cut into, at most `length` each: the last one may be shorter. */
export function timeSliceLengths(numTokens: number, length: number): number[] {
  const count = Math.ceil(numTokens / length);
  return Array.from({ length: count }, (_, i) => Math.min(length, numTokens - i * length));
}

/** What is run on each time slice. */
export interface SlicePass<S> {
  /** Runs the model over a slice for what it leaves to the next one. */
  forward(slice: S, crossing: Crossing): void;
  /** The same with the slice's part of the loss, [1], to be recorded. */
  loss(slice: S, crossing: Crossing): Tensor;
  /** Takes it; it is released after that. */
  addLoss(loss: Tensor): void;
}

/**
 * Forward and backward pass over sequences that are cut in time, as exact as over whole ones, in the memory of one slice: a
 * sweep from the first slice to the last keeps nothing but what crosses the borders; one from the last to the first runs each
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
  device.compute.mark('forward');
  const borders = [new Border()];
  let adjoint = new Border();
  try {
    device.compute.mark('forward');
    // The last slice leaves nothing: the way back begins with it.
    for (const slice of slices.slice(0, -1)) {
      const crossing = new Crossing(borders.at(-1)!);
      borders.push(crossing.leaving);
      device.scope(() => pass.forward(slice, crossing));
    }
    for (const [i, slice] of [...slices.entries()].reverse()) {
      const entering = borders[i]!;
      const outgoing = adjoint;
      if (i === 0) beforeLast();
      adjoint = device.scope(() => backward(device, slice, entering, outgoing, pass));
      entering.release();
      outgoing.release();
    }
  } finally {
    // Of a pass that failed.
    for (const border of [...borders, adjoint]) border.release();
  }
}

/** The loss alone, slice by slice. */
export function lossOverTimeSlices<S>(device: Device, slices: readonly S[], pass: SlicePass<S>): void {
  let entering = new Border();
  for (const slice of slices) {
    const crossing = new Crossing(entering);
    device.scope(() => pass.addLoss(pass.loss(slice, crossing)));
    entering.release();
    entering = crossing.leaving;
  }
  entering.release();
}

/** One slice on the way back; returns the gradient of what enters it from that of what leaves it. */
function backward<S>(
  device: Device,
  slice: S,
  entering: Border,
  outgoing: Border,
  pass: SlicePass<S>,
): Border {
  device.compute.mark('forward');
  const leaves = entering.asLeaves();
  const crossing = new Crossing(leaves);
  try {
    return backwardFrom(device, slice, crossing, outgoing, pass);
  } finally {
    crossing.leaving.release();
    leaves.release();
  }
}

function backwardFrom<S>(
  device: Device,
  slice: S,
  crossing: Crossing,
  outgoing: Border,
  pass: SlicePass<S>,
): Border {
  const leaves = crossing.entering;
  device.compute.mark('forward');
  const { result: loss, tape } = device.record(() => pass.loss(slice, crossing));
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
