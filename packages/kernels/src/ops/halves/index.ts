import { empty, expectShape, type Tensor } from '../../tensor.js';
import './native.js';

/** f32 numbers in two halves of their bits, tensors of one shape. Nothing is lost. */
export interface Halves {
  /** The numbers rounded to bf16, halves away from zero. */
  readonly high: Tensor;
  /** The rest: 16 bits each, kept in a tensor of bf16. */
  readonly low: Tensor;
}

/** The numbers, in a new f32 tensor; outside of autograd. */
export function joinHalves({ high, low }: Halves): Tensor {
  expectShape('join-halves', 'low', low, high.shape);
  const { device } = high;
  const values = empty(device, high.shape);
  device.native.halvesJoin(device.compute.id, high.id, low.id, values.id);
  return values;
}

/** Writes f32 numbers as halves; outside of autograd. */
export function splitHalves(values: Tensor, { high, low }: Halves): void {
  for (const [name, half] of Object.entries({ high, low })) {
    expectShape('split-halves', name, half, values.shape);
  }
  const { device } = values;
  device.native.halvesSplit(device.compute.id, values.id, high.id, low.id);
}
