import { axpy, crossEntropy, type Tensor } from '@longscan/kernels';
import type { Batch } from '../data/index.js';
import { bidirectionalContexts } from '../model/bidirectional-contexts.js';
import { type ContextSource, carryingContexts, sliceContexts } from '../model/layer-context.js';
import { timeSliceContexts } from '../model/time-slice-contexts.js';
import { Crossing } from '../sequence/border.js';
import type { Carry } from '../sequence/carry.js';
import type { MlpOutputs } from '../sequence/mlp-outputs.js';
import type { SlicePass } from '../sequence/time-slices.js';
import type { Training } from './training.js';
import { type UploadedBatch, uploadBatch } from './uploaded-batch.js';

/** What the memory of sequences goes through: from step to step, or from one time slice to the next; null: neither. */
type Memory = Carry | Crossing | null;

/** This rank's part of the mean loss over all valid tokens, [1]. */
export function forward(training: Training, batch: Batch, memory: Memory, outputs?: MlpOutputs): Tensor {
  return forwardUploaded(training, uploadBatch(training.device, batch), memory, outputs);
}

/** The same of what is on the device already. */
export function forwardUploaded(
  training: Training,
  batch: UploadedBatch,
  memory: Memory,
  outputs?: MlpOutputs,
): Tensor {
  const { model } = training;
  const hidden = model.forward(batch.tokens, contextsOf(training, batch, memory), outputs);
  const inputs = { hidden, weight: model.head, labels: batch.labels };
  return crossEntropy(inputs, batch.lossScale, { isFinal: true });
}

/** What layers look at beside their own tokens. */
function contextsOf(
  { device, model, sequence: group }: Training,
  { numSequences, sliceLength, resets, openTokens: before, ends, laterTokens: after }: UploadedBatch,
  memory: Memory,
): ContextSource {
  if (model.objective === 'masked') {
    const shape = [numSequences, sliceLength] as const;
    return bidirectionalContexts({ device, shape, group, resets, before, ends, after });
  }
  if (memory === null) return sliceContexts(group, resets, before);
  return memory instanceof Crossing
    ? timeSliceContexts(resets, before, memory)
    : carryingContexts(group, resets, before, memory);
}

/** How time slices of a batch are run; their losses add up in `total`, [1]. */
export function slicePass(training: Training, total: Tensor): SlicePass<Batch> {
  return {
    leave(slice, crossing, outputs) {
      const uploaded = uploadBatch(training.device, slice);
      training.model.leave(uploaded.tokens, contextsOf(training, uploaded, crossing), outputs);
    },
    loss: (slice, crossing, outputs) =>
      training.device.scope(() => forward(training, slice, crossing, outputs)),
    addLoss: (loss) => axpy(1, loss, total),
  };
}
