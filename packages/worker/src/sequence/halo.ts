import {
  addTailGradient,
  type Communicator,
  cast,
  empty,
  type ForwardCall,
  forwardCall,
  type Sequence,
  type Stream,
  sequenceTail,
  type Tensor,
} from '@longscan/kernels';
import { type Direction, opposite, scanPlace } from '../strategy.js';
import type { CarriedCall } from './carry.js';
import { live, type Received } from './received.js';
import type { SequenceGroup } from './sequence-group.js';
import { cutSequence, haloOfUnits } from './unit-halo.js';

export interface HaloOptions {
  /** Null: this rank holds the whole sequence. */
  readonly group: Pick<SequenceGroup, 'communicator'> | null;
  /** i32 [B, T], 1 where a document starts; null: one document. */
  readonly resets: Tensor | null;
  /** Where the halo comes from; default: the other ranks. */
  readonly received?: Received;
  /** Where the sequences go on from those of the step before. */
  readonly carried?: CarriedCall | undefined;
  /** `reverse`: tokens stand in reverse order, and so do ranks; default: `forward`. */
  readonly direction?: Direction;
}

/** A slice and the tokens before it. */
export interface SliceWithHalo {
  /** [B, T, D] */
  readonly x: Tensor;
  /**
   * [B, numRows, D]: the tokens before x, zeros before the start of the last one's document; null: none. In deterministic
   * mode [1, units · numRows, D], those before each unit.
   */
  readonly halo: Tensor | null;
}

/**
 * A slice x [B, T, D] together with the last `numRows` tokens before it, from the rank before this one (and through it
 * from those before, where slices are shorter). Every rank but the last sends numRows · D numbers a sequence; the backward
 * pass sends as many the other way. The halo is kept, so a replay communicates nothing.
 *
 * The x of the result must go into one op only, together with the halo: that op's gradient of x is completed in place
 * by what the next rank says of the tokens that it was sent.
 */
export function withHalo(x: Tensor, numRows: number, options: HaloOptions): SliceWithHalo {
  const { group, resets, received = live, carried, direction = 'forward' } = options;
  if (numRows === 0) return { x, halo: null };
  // Of the type that the rows had when they were left, or f32 from a checkpoint.
  const entering = carried?.entering ? cast(carried.entering, x.dtype) : null;
  const leave = (halo: Tensor | null) =>
    carried?.leave([x.dim(0), numRows, x.dim(2)], x.dtype, () =>
      sequenceTail(forwardCall(x.device), { x, halo, resets }, numRows),
    );
  const communicator = group !== null && group.communicator.size > 1 ? group.communicator : null;
  const { units, tape } = x.device;
  const halo =
    communicator === null
      ? entering
      : received.next(() => passOn({ x, halo: entering, resets }, numRows, communicator, direction));
  leave(halo);
  const slice = units === null ? { x, halo } : haloOfUnits(units, { x, halo, resets }, numRows);
  if (tape === null || !x.requiresGrad || (communicator === null && units === null)) return slice;
  const own = x.view(x.shape);
  units?.markLike(x, own);
  tape.record({
    name: 'halo',
    flushes: true,
    inputs: [x],
    outputs: slice.halo === null ? [own] : [own, slice.halo],
    saved: resets === null ? [] : [resets],
    backward: ([dx, dHalo = null]) => {
      const whole = { x: dx!, halo: dHalo, resets };
      const targets = units === null ? [whole] : cutSequence(units, whole, numRows);
      const finish = passBack(targets, numRows, communicator, opposite(direction));
      tape.flushDeferred();
      finish();
      return [dx!];
    },
  });
  return { x: own, halo: slice.halo };
}

/** Sends the next rank its halo and returns this one's: on the first rank what entered (the given one), or null. */
function passOn(
  { x, halo: entering, resets }: Sequence,
  numRows: number,
  communicator: Communicator,
  direction: Direction,
): Tensor | null {
  const { device, dtype } = x;
  const { stream } = communicator;
  const { prev, next } = scanPlace(communicator, direction);
  const [B, T, D] = x.shape as [number, number, number];
  const call = callOn(x, stream);
  stream.wait(device.compute.record());
  const halo = prev === null ? entering : call.empty([B, numRows, D], dtype);
  // Only a slice that is shorter than the halo needs its own before it can send.
  const isRelay = T < numRows;
  if (isRelay) exchange(communicator, [], [[halo, prev]]);
  const tail = next === null ? null : sequenceTail(call, { x, halo: isRelay ? halo : null, resets }, numRows);
  exchange(communicator, [[tail, next]], isRelay ? [] : [[halo, prev]]);
  device.compute.wait(stream.record());
  return halo;
}

/**
 * The way back: sends the previous rank the gradient of its tokens, and adds to those of this slice what comes from the
 * next one. `targets`: gradients of the slice and its halo, or of each unit and the tokens before it, from whom they are
 * passed on in turn. `direction`: that of the way back. Returns a function that lets the compute stream wait for it.
 */
function passBack(
  targets: readonly Sequence[],
  numRows: number,
  communicator: Communicator | null,
  direction: Direction,
): () => void {
  const [first, last] = [targets[0]!, targets.at(-1)!];
  const { device, dtype } = last.x;
  const [B, T, D] = last.x.shape as [number, number, number];
  const stream = communicator?.stream ?? device.compute;
  // In the order of the way back: `prev` holds the tokens after this slice.
  const { prev, next } =
    communicator === null ? { prev: null, next: null } : scanPlace(communicator, direction);
  const call = callOn(last.x, stream);
  if (communicator !== null) stream.wait(device.compute.record());
  const tailGradient = prev === null ? null : call.empty([B, numRows, D], dtype);
  const isRelay = T < numRows;
  const addTo = (target: Sequence, gradient: Tensor) =>
    addTailGradient(call, { ...target, halo: isRelay ? target.halo : null }, gradient);
  if (communicator !== null) {
    exchange(communicator, isRelay ? [] : [[first.halo, next]], [[tailGradient, prev]]);
  }
  if (tailGradient !== null) addTo(last, tailGradient);
  for (let i = targets.length - 1; i > 0; i--) addTo(targets[i - 1]!, targets[i]!.halo!);
  if (communicator === null) return () => undefined;
  if (isRelay) exchange(communicator, [[first.halo, next]], []);
  const done = stream.record();
  return () => device.compute.wait(done);
}

/** A tensor and its peer; null at the ends of the group, where there is nothing to send or receive. */
type Leg = readonly [tensor: Tensor | null, peer: number | null];

function exchange(communicator: Communicator, sends: readonly Leg[], recvs: readonly Leg[]): void {
  const messages = (legs: readonly Leg[]) =>
    legs.flatMap(([tensor, peer]) => (tensor === null || peer === null ? [] : [{ tensor, peer }]));
  const [outgoing, incoming] = [messages(sends), messages(recvs)];
  if (outgoing.length + incoming.length > 0) communicator.exchange(outgoing, incoming);
}

/** For ops on another stream than the compute stream. */
function callOn({ device }: Tensor, stream: Stream): ForwardCall {
  return {
    ...forwardCall(device),
    stream: stream.id,
    empty: (shape, dtype) => empty(device, shape, dtype, stream),
  };
}
