import { type Device, fromArray, hostArray, type Tensor } from '@longscan/kernels';
import type { Batch } from '../data/index.js';

/** A batch whose tokens are on the device. */
export interface UploadedBatch
  extends Omit<Batch, keyof OfTokens | keyof OfSequences>,
    OfTokens,
    OfSequences {}

/** i32 `[B, T]`; see `Batch`. */
interface OfTokens {
  readonly tokens: Tensor;
  readonly labels: Tensor;
  readonly resets: Tensor | null;
  readonly ends: Tensor | null;
}

/** i32 `[B]`; see `Batch`. */
interface OfSequences {
  readonly openTokens: Tensor | null;
  readonly laterTokens: Tensor | null;
}

export function uploadBatch(device: Device, batch: Batch): UploadedBatch {
  const { numSequences, sliceLength, numValidTokens } = batch;
  const upload = (values: Int32Array, shape: readonly number[]) => fromArray(device, values, shape, 'i32');
  const ofTokens = (values: Int32Array) => {
    const tensor = upload(values, [numSequences, sliceLength]);
    return device.units?.mark(tensor) ?? tensor;
  };
  const ofSequences = (values: Int32Array) => upload(values, [numSequences]);
  const { tokens, labels, resets, ends = null, openTokens, laterTokens = null } = batch;
  return {
    ...{ numSequences, sliceLength, numValidTokens },
    tokens: ofTokens(tokens),
    labels: ofTokens(labels),
    resets: resets && ofTokens(resets),
    ends: ends && ofTokens(ends),
    openTokens: openTokens && ofSequences(openTokens),
    laterTokens: laterTokens && ofSequences(laterTokens),
  };
}

const names = ['tokens', 'labels', 'resets', 'ends', 'openTokens', 'laterTokens'] as const;

/** Writes another batch of the same form over an uploaded one. */
export function uploadOver(target: UploadedBatch, batch: Batch): void {
  for (const name of names) target[name]?.write(hostArray('i32', batch[name]!));
}

/** Its tensors outlive the scope in which they were made. */
export function retainBatch(batch: UploadedBatch): UploadedBatch {
  for (const name of names) batch[name]?.retain();
  return batch;
}

export function releaseBatch(batch: UploadedBatch): void {
  for (const name of names) batch[name]?.release();
}
