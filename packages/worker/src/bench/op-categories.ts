import type { OpProfile } from '@longscan/kernels';
import { type StepPart, stepParts } from '../protocol/bench.js';

/**
 * What the native functions of a training step are counted as, by the beginning of their names; the longest that fits wins.
 * `loss` has the head's products in it, which one function makes together with the cross-entropy; `communication` is waiting
 * for other streams, be it for what they bring from other ranks or for the optimizer's updates beside a forward pass.
 */
const prefixes: Readonly<Record<Exclude<StepPart, 'other' | 'idle'>, string>> = {
  gemm: 'batchedMatmul blockLinear linear',
  recurrence:
    'attention chunkEnds chunkStarts deltaGeneral deltaRule documentPositions dplr gatedLinear ltiScan mesa mlstm narrowRows resetBits selectiveScan slstm transition vectorScan widenRows',
  pointwise:
    'activation add affine axpy broadcast cast causalConv complex copy embedding featureMap fill flip gatedNorm layerNorm multiply normalize poison repeatRows rmsNorm rotary sequenceTail softmax sumRepeats sumRows swapAxes swiglu tensorWrite tokenShift where',
  loss: 'crossEntropy',
  optimizer: 'adamw clipFactor halves sumOf',
  communication: 'comm streamWait',
};

/** What a native function is counted as. */
export function partOf(name: string): StepPart {
  let found: StepPart = 'other';
  let length = 0;
  for (const [part, beginnings] of Object.entries(prefixes)) {
    for (const beginning of beginnings.split(' ')) {
      if (!name.startsWith(beginning) || beginning.length <= length) continue;
      found = part as StepPart;
      length = beginning.length;
    }
  }
  return found;
}

/** The share of each part in what a stream did; together 1. `idle`: no op was under way. */
export function sharesOf({ wholeMs, ops }: OpProfile): Record<StepPart, number> {
  const ms = Object.fromEntries(stepParts.map((part) => [part, 0])) as Record<StepPart, number>;
  for (const [name, time] of Object.entries(ops)) ms[partOf(name)] += time.ms;
  const busy = Object.values(ms).reduce((sum, one) => sum + one, 0);
  const whole = Math.max(wholeMs, busy);
  ms.idle = whole - busy;
  return Object.fromEntries(stepParts.map((part) => [part, ms[part] / whole])) as Record<StepPart, number>;
}
