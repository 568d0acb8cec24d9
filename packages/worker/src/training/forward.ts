import { axpy, crossEntropy, type Device, fromArray, type Tensor } from '@longscan/kernels';
import type { Batch } from '../data/index.js';
import { bidirectionalContexts } from '../model/bidirectional-contexts.js';
import { type ContextSource, carryingContexts, sliceContexts } from '../model/layer-context.js';
import { timeSliceContexts } from '../model/time-slice-contexts.js';
import { Crossing } from '../sequence/border.js';
import type { Carry } from '../sequence/carry.js';
import type { SlicePass } from '../sequence/time-slices.js';
import type { Training } from './train-step.js';

/** What the memory of sequences goes through: from step to step, or from one time slice to the next; null: neither. */
type Memory = Carry | Crossing | null;

/** This rank's part of the mean loss over all valid tokens, [1]. */
export function forward(training: Training, batch: Batch, memory: Memory): Tensor {
  const { model } = training;
  const hidden = hiddenOf(training, batch, memory);
  const labels = upload(training.device, batch, batch.labels);
  // Documents of one token each have no label at all.
  const scale = 1 / Math.max(1, batch.numValidTokens);
  return crossEntropy({ hidden, weight: model.head, labels }, scale, { isFinal: true });
}

/** Normalised hidden [B, T, D]. */
function hiddenOf(training: Training, batch: Batch, memory: Memory): Tensor {
  const tokens = upload(training.device, batch, batch.tokens);
  return training.model.forward(tokens, contextsOf(training, batch, memory));
}

/** A tensor [B, T] of what a batch says of each token. */
function upload(device: Device, { numSequences, sliceLength }: Batch, values: Int32Array): Tensor {
  const tensor = fromArray(device, values, [numSequences, sliceLength], 'i32');
  return device.units?.mark(tensor) ?? tensor;
}

/** What layers look at beside their own tokens. */
function contextsOf(
  { device, model, sequence: group }: Training,
  batch: Batch,
  memory: Memory,
): ContextSource {
  const { numSequences, sliceLength, openTokens, ends = null, laterTokens = null } = batch;
  const ofTokens = (values: Int32Array) => upload(device, batch, values);
  const resets = batch.resets && ofTokens(batch.resets);
  const ofSequences = (values: Int32Array) => fromArray(device, values, [numSequences], 'i32');
  const before = openTokens && ofSequences(openTokens);
  if (model.objective === 'masked') {
    const shape = [numSequences, sliceLength] as const;
    const behind = { ends: ends && ofTokens(ends), after: laterTokens && ofSequences(laterTokens) };
    return bidirectionalContexts({ device, shape, group, resets, before, ...behind });
  }
  if (memory === null) return sliceContexts(group, resets, before);
  return memory instanceof Crossing
    ? timeSliceContexts(resets, before, memory)
    : carryingContexts(group, resets, before, memory);
}

/** How time slices of a batch are run; their losses add up in `total`, [1]. */
export function slicePass(training: Training, total: Tensor): SlicePass<Batch> {
  return {
    forward: (slice, crossing) => void hiddenOf(training, slice, crossing),
    loss: (slice, crossing) => training.device.scope(() => forward(training, slice, crossing)),
    addLoss: (loss) => axpy(1, loss, total),
  };
}
