import { type Device, fromArray, type Tensor } from '@longscan/kernels';
import type { Batch } from '../data/index.js';

/** What the passes read of a batch, on the device. */
export interface UploadedBatch extends Pick<Batch, 'numSequences' | 'sliceLength'> {
  /** i32 `[B, T]`; see `Batch`. */
  readonly tokens: Tensor;
  readonly labels: Tensor;
  readonly resets: Tensor | null;
  readonly ends: Tensor | null;
  /** i32 `[B]`. */
  readonly openTokens: Tensor | null;
  readonly laterTokens: Tensor | null;
  /** f64 `[1]`: what the sum over labels is multiplied by. */
  readonly lossScale: Tensor;
}

export function uploadBatch(device: Device, batch: Batch): UploadedBatch {
  const { numSequences, sliceLength } = batch;
  const upload = (values: Int32Array, shape: readonly number[]) => fromArray(device, values, shape, 'i32');
  const ofTokens = (values: Int32Array) => {
    const tensor = upload(values, [numSequences, sliceLength]);
    return device.units?.mark(tensor) ?? tensor;
  };
  const ofSequences = (values: Int32Array) => upload(values, [numSequences]);
  const { tokens, labels, resets, ends = null, openTokens, laterTokens = null } = batch;
  return {
    ...{ numSequences, sliceLength },
    tokens: ofTokens(tokens),
    labels: ofTokens(labels),
    resets: resets && ofTokens(resets),
    ends: ends && ofTokens(ends),
    openTokens: openTokens && ofSequences(openTokens),
    laterTokens: laterTokens && ofSequences(laterTokens),
    lossScale: fromArray(device, [lossScaleOf(batch)], [1], 'f64'),
  };
}

/** Documents of one token each have no label at all. */
const lossScaleOf = ({ numValidTokens }: Batch): number => 1 / Math.max(1, numValidTokens);

const ofBatch = ['tokens', 'labels', 'resets', 'ends', 'openTokens', 'laterTokens'] as const;

/** Writes another batch over one in which the same is given. */
export function uploadOver(target: UploadedBatch, batch: Batch): void {
  for (const name of ofBatch) target[name]?.write(batch[name]!);
  target.lossScale.write(Float64Array.of(lossScaleOf(batch)));
}

/** All tensors of a batch. */
export function tensorsOf(batch: UploadedBatch): Tensor[] {
  return [...ofBatch, 'lossScale' as const].flatMap((name) => batch[name] ?? []);
}
