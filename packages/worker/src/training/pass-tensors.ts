import type { Tensor } from '@longscan/kernels';
import type { UploadedBatch } from './uploaded-batch.js';

/** What passes are given on the device beside their batches. */
export interface PassTensors {
  /** 1, the loss's own gradient, [1]. */
  readonly seed: Tensor;
  /** f64 [`numCounts`]: bytes sent to ranks of the sequence. */
  readonly sent: Tensor;
}

/** Elements that bytes are counted in: before the passes, after each micro-batch's forward and after its backward pass. */
export const numCounts = (batches: readonly unknown[]): number => 1 + 2 * batches.length;

/** Enqueues both passes over all micro-batches of a step, into gradients begun anew. */
export type Passes = (batches: readonly UploadedBatch[], tensors: PassTensors) => void;
