import { crossEntropy, type Device, empty, type Tensor } from '@longscan/kernels';
import type { Crossing } from '../sequence/border.js';
import type { MlpOutputs } from '../sequence/mlp-outputs.js';
import { timeSliceLengths, trainOverTimeSlices } from '../sequence/time-slices.js';
import type { ContextSource } from './layer-context.js';
import type { Model } from './model.js';

/** A model on a shape device, and the sizes of a rank's batch. */
export interface TracedStep {
  readonly device: Device;
  readonly model: Model;
  /** [B, T] */
  readonly shape: readonly [number, number];
  /**
   * What layers see in a pass over one time slice, or over the whole batch (`crossing` null). `isNoted`: in one pass of a step,
   * since all make the same calls.
   */
  contextsOf(crossing: Crossing | null, isNoted: boolean): ContextSource;
}

/** Bytes of tensors in a step. */
export interface StepBytes {
  /** The most that a forward pass has left, with those of before. */
  readonly kept: number;
  /** Outputs of MLPs that one pass over time slices keeps for the next. */
  readonly keptMlps: number;
}

/** Forward and backward pass of a batch. */
export function traceStep({ device, model, shape: [B, T], contextsOf }: TracedStep): StepBytes {
  let kept = 0;
  let keptMlps = 0;
  const ofTokens = (length: number) => empty(device, [B, length], 'i32');
  const pass = {
    leave(length: number, crossing: Crossing, outputs: MlpOutputs): void {
      model.leave(ofTokens(length), contextsOf(crossing, false), outputs);
      keptMlps += outputs.bytes;
    },
    loss(length: number, crossing: Crossing | null, outputs?: MlpOutputs): Tensor {
      const [tokens, labels] = [ofTokens(length), ofTokens(length)];
      const contexts = contextsOf(crossing, kept === 0);
      const loss = device.scope(() =>
        crossEntropy(
          { hidden: model.forward(tokens, contexts, outputs), weight: model.head, labels },
          1 / (B * T),
          { isFinal: true },
        ),
      );
      kept = Math.max(kept, device.memory().inUseBytes);
      return loss;
    },
    addLoss: () => undefined,
  };
  if (model.timeSlice > 0) {
    trainOverTimeSlices(device, timeSliceLengths(T, model.timeSlice), pass);
  } else {
    const { result: loss, tape } = device.record(() => pass.loss(T, null));
    tape.backward([loss], [empty(device, [1])]);
  }
  return { kept, keptMlps };
}
